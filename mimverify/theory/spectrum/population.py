"""The measures behind the predictions for a bounded T: the population's, and nearby ones.

Whether T counts as bounded depends on n: a bound that no sample reaches bounds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mimverify.network.losses import Loss
from mimverify.problems.links import Link
from mimverify.support.errors import InputError
from mimverify.support.threads import map_with_own_threads
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.label_law import label_law, sampled_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.labels.quantile_measure import quantile_measure, reaches_both_ends
from mimverify.theory.labels.stable_order import stable_order
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.fluctuations import LabelShift
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.training.centring import Centring

#: A population's prediction rests on at least so many labels of a sample (`deciding_labels`);
#: where it would rest on fewer, labels are simulated. Measured: docs/theory-engine.md, §2.
FEWEST_LABELS = 30


@dataclass(frozen=True)
class Population:
    """The population's measure, the same on coarser nodes, how it moves with c, and the `margin`
    of a `LabelLaw`: changes on the coarser nodes are multiplied by it."""

    measure: LabelMeasure
    coarse: LabelMeasure
    shift: LabelShift | None
    margin: float


def limiting_population(
    link: Link,
    loss: Loss | LabelTransform,
    *,
    noise: float = 0.0,
    dim: int,
    samples: int,
    steps: int,
) -> Population | None:
    """`population_of` where T has a deterministic limit (`LabelLaw.deterministic_limit`) that n
    labels come near: the T that no sample of n has (`reached_measure`) stretches the spectrum
    by no more than doubles the traces of H^{4T}, and enough labels decide these
    (`deciding_labels`).

    None elsewhere: predictions are then for the labels of samples, or for T cut off. A transform
    that is not a loss's, of which no labels can be simulated, needs the limit alone.
    """
    if not label_law(link, loss, noise=noise).deterministic_limit:
        return None
    population = population_of(link, loss, noise=noise)
    if isinstance(loss, Loss):
        power = 4 * max(steps, 1)  # the traces' own variance is a matter of H^{4T}
        limit = Resolvent(population.measure, samples / dim)
        reached = Resolvent(reached_measure(link, loss, samples, noise=noise), samples / dim)
        stretch = _radius(limit) / _radius(reached)
        if power * math.log(stretch) > math.log(2) or (
            deciding_labels(limit, samples, power) < FEWEST_LABELS
        ):
            return None
    return population


def _radius(resolvent: Resolvent) -> float:
    return max(abs(end) for end in resolvent.extremes)


def reached_measure(
    link: Link, loss: Loss | LabelTransform, samples: int, *, noise: float = 0.0
) -> LabelMeasure:
    """The measure of the T that samples of n labels reach: n labels at the quantiles of T. By the
    law itself the bulk would end where no sample's does."""
    return _reached(link, loss, samples, noise)


@cached(maxsize=32)
def _reached(link: Link, loss: Loss | LabelTransform, samples: int, noise: float) -> LabelMeasure:
    law = label_law(link, loss, noise=noise)
    if reaches_both_ends(law, samples):
        return label_measure(law, fourth_moments=False)
    return quantile_measure(law, samples)


def deciding_labels(resolvent: Resolvent, samples: int, power: int) -> float:
    """How many labels of a sample of n the traces of H^k rest on, k = `power`.

    On the contour of H^k, at its real ends, ζ′ is 1/α − E[c], c = T²/(w − T)². Over n labels
    the mean of c has a relative variance of E[c²]/(n E[c]²) at most: that of the mean of so
    many equal ones as is returned, the fewer of both ends.
    """
    low, high = resolvent.extremes
    margin = 3 * max(abs(low), abs(high)) / power
    T, mass = resolvent.measure.T, resolvent.measure.mass
    ends = (resolvent.edges[0] - margin, resolvent.edges[1] + margin)
    counts = []
    for zeta in ends:
        c = (T / (resolvent.w_at(zeta) - T)) ** 2
        counts.append(samples * float(c @ mass) ** 2 / float(c**2 @ mass))
    return min(counts)


#: Label sets of so many labels at most are drawn for a bounded T.
_MOST_LABELS = 20_000
# Labels that are drawn together for an unbounded one.
_MOST_DRAWN = 2_000_000
_FEWEST_SETS = 8


def drawn_measures(
    link: Link,
    loss: Loss,
    *,
    noise: float = 0.0,
    dim: int,
    samples: int,
    steps: int,
    count: int,
    seed: int = 0,
) -> list[LabelMeasure]:
    """Measures of `count` simulated label sets of n labels (fewer, at least 8, of many labels).

    Where T has a limit that n labels come near (`limiting_population`) and n is large, a set of
    fewer labels is mixed with the population: a share s = √(m/n) of m labels varies as n do.
    """
    population = limiting_population(link, loss, noise=noise, dim=dim, samples=samples, steps=steps)
    drawn = samples
    if population is not None:
        drawn = min(samples, _MOST_LABELS)
    else:
        count = min(count, max(_FEWEST_SETS, _MOST_DRAWN // samples))
    share = math.sqrt(drawn / samples)

    def draw(k: int) -> LabelMeasure:
        law = sampled_law(link, loss, max(drawn, 2), noise=noise, seed=seed * _MOST_SETS + k)
        measure = label_measure(law, fourth_moments=False)
        if population is not None and share < 1:
            measure = _mixture(population.measure, measure, share)
        return measure

    return map_with_own_threads(draw, range(count))


_MOST_SETS = 1024  # seeds of label sets do not overlap up to so many


def _mixture(whole: LabelMeasure, part: LabelMeasure, share: float) -> LabelMeasure:
    T = np.concatenate([whole.T, part.T])
    order = stable_order(T)
    features = np.concatenate([(1 - share) * whole.features, share * part.features])
    return LabelMeasure(
        T[order], features[order], None, whole.rank,
        min(whole.low, part.low), max(whole.high, part.high),
    )  # fmt: skip


@cached(maxsize=32)
def population_of(link: Link, loss: Loss | LabelTransform, *, noise: float = 0.0) -> Population:
    """The measures behind the predictions for a bounded T."""
    law = label_law(link, loss, noise=noise)
    measure = label_measure(law)
    assert law.check is not None
    coarse = label_measure(law.check, fourth_moments=False)
    if law.constant is None or not isinstance(loss, Loss):
        return Population(measure, coarse, None, law.margin)
    # Wide enough that quadrature errors do not matter, narrow enough for a derivative.
    width = 0.02 if loss.smooth or law.rank + bool(noise) == 1 else 0.1
    step = width * float(np.sqrt(law.weights @ (law.y - law.weights @ law.y) ** 2))

    def moved(constant: float) -> LabelMeasure:
        transform = LabelTransform.of_loss(loss, Centring(constant))
        if law.rank + bool(noise) == 1:
            near = label_law(link, transform, noise=noise, centred=False)
            return label_measure(near, fourth_moments=False)
        # With so many nodes, those of c also resolve nearby constants.
        return label_measure(replace(law, T=transform(law.y)), fourth_moments=False)

    try:
        shift = LabelShift(moved(law.constant - step), moved(law.constant + step), step)
    except InputError:  # beside an atom of the labels T may be constant: nothing to differentiate
        shift = None
    return Population(measure, coarse, shift, law.margin)
