"""The measures behind the predictions for a bounded T: the population's, and nearby ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mimverify.network.losses import Loss
from mimverify.problems.links import Link
from mimverify.support.errors import InputError
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.label_law import label_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.fluctuations import LabelShift
from mimverify.training.centring import Centring


@dataclass(frozen=True)
class Population:
    """The population's measure, the same on coarser nodes, and how it moves with c."""

    measure: LabelMeasure
    coarse: LabelMeasure
    shift: LabelShift | None


def limiting_population(
    link: Link, loss: Loss | LabelTransform, *, noise: float = 0.0
) -> Population | None:
    """`population_of` where T has a deterministic limit (`LabelLaw.deterministic_limit`).

    None elsewhere: predictions are then for the labels of samples, or for T cut off.
    """
    if not label_law(link, loss, noise=noise).deterministic_limit:
        return None
    return population_of(link, loss, noise=noise)


@cached(maxsize=32)
def population_of(link: Link, loss: Loss | LabelTransform, *, noise: float = 0.0) -> Population:
    """The measures behind the predictions for a bounded T."""
    law = label_law(link, loss, noise=noise)
    measure = label_measure(law)
    assert law.check is not None
    coarse = label_measure(law.check, fourth_moments=False)
    if law.constant is None or not isinstance(loss, Loss):
        return Population(measure, coarse, None)
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
    return Population(measure, coarse, shift)
