"""The joint law of hidden features and transformed label, as nodes with weights.

Everything the theory predicts is an expectation over (z, T). For a bounded T the nodes are
those of a quadrature rule that resolves T, so that predictions hold for the population; for
an unbounded T the largest labels of a *finite* sample decide where the spectrum ends, and
the nodes are the labels of a sample. Source: theory.md §1, §4 (D1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array, integer, not_constant, number
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.quadrature import (
    MAX_BOX_DIMENSIONS,
    MAX_DIMENSIONS,
    Monitor,
    normal_nodes,
    normal_rule,
)
from mimverify.theory.labels.stable_order import stable_order
from mimverify.theory.labels.tails import Tail, tail_of
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.training.centring import Centring, fit_constant

# Refits of the constant, each with nodes that resolve the transform of the one before; each
# brings the next median an order of magnitude nearer, where nodes are cheap. Given are the shares
# of the most nodes that medians are fitted on: the first need only be near the curve of the last.
_REFITS = {1: (1.0,) * 8, 2: (0.25, 1.0), 3: (0.25, 1.0)}
# Without jumps kinks alone are left to resolve. Of more nodes, those in a plane gain nothing that
# anybody sees (1e-8); those in space do.
_SHARE_WITHOUT_JUMPS = {2: 0.5}
# Where l' is continuous, nodes for a constant that is off by this much of the labels' spread are
# wrong by its square, which is less than they resolve.
_SETTLED = {1: 1e-9, 2: 1e-5, 3: 1e-5}
# Groups of neighbouring labels by whose means a constant is found roughly, and by how much of the
# spread that is off, mostly.
_GROUPS, _NEAR = 1 << 12, 1e-6
_ACCURACY = 1e-14  # of a constant, in units of the labels' spread
_ROWS = 4096  # nodes of which a mean is taken at a time
# Fourth moments of larger T would overflow.
_LARGEST = 1e70
# Where T jumps across a curve, the errors of both sets of nodes have random signs, and those of
# half as many nodes are two to three times as large: the difference alone is smaller than the error
# that it stands for once in five times, four times the difference once in twenty. One variable is
# resolved to rounding; of the nodes in three most cannot follow a jump, and the coarser are far
# worse than the others.
_JUMP_MARGIN = {2: 4.0}
# Rounding of the weights of half the nodes.
_HALF = 0.5 + 1e-12
#: More weight than this at one label is an atom of the law, not a node of the quadrature.
ATOM = 1e-3


@dataclass(frozen=True)
class LabelLaw:
    """The law of (z, y, T(y)).

    - `z`: hidden features `(q, r)`; `y`: labels `(q,)`; `T`: centred transforms `(q,)`.
    - `weights`: `(q,)`, with sum 1.
    - `constant`: c, or None for a transform that is not a loss's; `removed_mean`: what was
      subtracted from T on top of it.
    - `check`: the same law on coarser nodes, by which errors are estimated; None for a
      sample, which is taken as it is.
    - `replicates`: number of independent, equally long blocks of the nodes, or 1.
    - `at_jump`: whether the constant sits on an atom of the labels where l' jumps.
    - `tail`: how |T| grows.
    - `sampled`: whether the nodes are a sample's own labels.
    - `rests_on`: what error estimates rest on.
    - `margin`: what a change on the coarser nodes is multiplied by to bound an error.
    """

    z: Float64Array
    y: Float64Array
    T: Float64Array
    weights: Float64Array
    constant: float | None
    removed_mean: float
    at_jump: bool
    check: LabelLaw | None
    replicates: int
    tail: Tail
    sampled: bool
    rests_on: str
    margin: float = 1.0

    @property
    def rank(self) -> int:
        """r."""
        return int(self.z.shape[1])

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The nodes by rising T, equal ones as they are: every measure of the law asks for it.
        (Of nodes in this order already it takes next to no time.)"""
        return stable_order(self.T)

    @property
    def deterministic_limit(self) -> bool:
        """Whether T of a sample tends to the population's as n grows.

        Not where T is unbounded (a sample's largest labels decide), and not where l' jumps at
        an atom of the labels: chance then decides on which side of it a sample's constant falls.
        """
        return self.tail.bounded is True and not self.at_jump

    def mean(self, values: Callable[[LabelLaw], Float64Array]) -> tuple[Float64Array, Float64Array]:
        """E of `values(law)` `(q, …)`, and an estimate of its absolute error (same shape).

        `values` is called with parts of the law, a few thousand nodes each, and has to take every
        node by itself.
        """
        result, size, means = self._sums(values)
        if self.check is None:
            return result, np.zeros_like(result)
        rounding = 8 * np.finfo(float).eps * size
        if self.replicates > 1:
            spread = np.std(means, axis=0, ddof=1) / np.sqrt(self.replicates)
            return result, 2 * spread + rounding
        coarse, _, _ = self.check._sums(values)
        return result, self.margin * np.abs(result - coarse) + rounding

    def _sums(
        self, values: Callable[[LabelLaw], Float64Array]
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """E of the values, of their moduli, and their mean over each replicate's nodes."""
        length = len(self.T) // self.replicates
        result = size = np.zeros(())
        means = []
        for first in range(0, length * self.replicates, length):
            inside = np.zeros(())
            # Few enough to stay in the cache, whatever is computed of them.
            for start in range(first, first + length, _ROWS):
                part = self._rows(slice(start, min(start + _ROWS, first + length)))
                at_nodes = values(part)
                result = result + np.tensordot(part.weights, at_nodes, axes=1)
                size = size + np.tensordot(part.weights, np.abs(at_nodes), axes=1)
                if self.replicates > 1:
                    inside = inside + at_nodes.sum(axis=0)
            means.append(inside / length)
        return result, size, np.array(means)

    def by_transform(self) -> LabelLaw:
        """The same law with its nodes by rising T, as its measures want them: once for all."""
        order = self.order
        z = self.z.T.take(order, axis=1).T
        return replace(self, z=z, y=self.y[order], T=self.T[order], weights=self.weights[order])

    def _rows(self, rows: slice) -> LabelLaw:
        return replace(
            self, z=self.z[rows], y=self.y[rows], T=self.T[rows], weights=self.weights[rows],
            check=None, replicates=1,
        )  # fmt: skip


def label_law(
    link: Link | str,
    loss: Loss | LabelTransform | str = DEFAULT_LOSS,
    *,
    noise: float = 0.0,
    rank: int | None = None,
    centred: bool = True,
) -> LabelLaw:
    """The population's law of (z, y, T) by quadrature.

    **Arguments**

    - `link`: a `Link` or what `get_link` resolves; `rank` for one that has none.
    - `loss`: a loss, whose constant output is fitted to the population first, or a
      `LabelTransform`, of which only the mean is taken away.
    - `noise`: standard deviation of the label noise; it counts as one more dimension.
    - `centred`: False keeps a `LabelTransform`'s mean.

    **Raises** `InputError` for a constant link, more than 12 dimensions, or a transform
    that is not finite.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    check_rank(link)
    if isinstance(loss, str):
        loss = get_loss(loss)
    return _population(link, loss, noise, centred)


def check_rank(link: Link) -> None:
    """**Raises** `InputError` for a link of more features than any rule here has dimensions."""
    if link.rank > MAX_DIMENSIONS:
        raise InputError(
            f"rank={link.rank}: link {link.name}: expected at most {MAX_DIMENSIONS} hidden features"
        )


@cached(maxsize=32)
def _population(link: Link, loss: Loss | LabelTransform, noise: float, centred: bool) -> LabelLaw:
    r = link.rank
    dimensions = r + bool(noise)

    def labels(x: Float64Array) -> Float64Array:
        return _labels(link, noise, x)

    def monitor_of(transform: LabelTransform) -> Monitor:
        def monitor(x: Float64Array) -> Float64Array:
            T = _finite(transform, labels(x))
            # What Λ and the u_k are made of.
            found = np.empty((3 + r, len(T)))
            found[0] = T
            np.square(T, out=found[1])
            for axis in range(r):
                np.square(x[:, axis], out=found[2 + axis])
            np.multiply(found[1], found[2], out=found[2 + r])
            found[2:-1] *= T
            return found.T

        return monitor

    found = centring = None
    if isinstance(loss, LabelTransform):
        transform = loss
    else:
        centring, found = _with_constant(link, loss, noise, monitor_of)
        transform = LabelTransform.of_loss(loss, centring)
    smooth = isinstance(loss, Loss) and loss.smooth
    share = _SHARE_WITHOUT_JUMPS.get(dimensions, 1.0) if smooth else 1.0
    rule = normal_rule(monitor_of(transform), dimensions, share=share, found=found)
    y = labels(rule.nodes)
    T = _finite(transform, y)
    mean = float(rule.weights @ T)
    second = float(rule.weights @ (T - mean) ** 2)
    if not second > 1e-20 * float(np.max(np.abs(T))) ** 2:
        raise InputError(
            f"loss={transform.name!r}: T(y) is constant for link {link.name}: expected a "
            "transform that varies"
        )
    check_nodes, check_weights = rule.check
    check_y = labels(check_nodes)
    # The coarser rule fits its own constant: an error of c shows as well.
    check_transform, check_centring = transform, None
    if centring is not None and isinstance(loss, Loss):
        check_centring = _constant(loss, check_y, check_weights, near=centring.constant)
        check_transform = LabelTransform.of_loss(loss, check_centring)
    check_T = _finite(check_transform, check_y)
    jumps = isinstance(loss, Loss) and not loss.smooth
    check = LabelLaw(
        z=check_nodes[:, :r],
        y=check_y,
        T=check_T - check_weights @ check_T if centred else check_T,
        weights=check_weights,
        constant=None if check_centring is None else check_centring.constant,
        removed_mean=mean - (0.0 if centring is None else centring.offset) if centred else 0.0,
        at_jump=jumps
        and centring is not None
        and bool(rule.weights[y == centring.constant].sum() > ATOM),
        check=None,
        replicates=1,
        tail=_tail(link, transform, noise),
        sampled=False,
        rests_on=rule.rests_on,
        margin=_JUMP_MARGIN.get(dimensions, 1.0) if jumps else 1.0,
    )
    law = replace(
        check,
        z=rule.nodes[:, :r],
        y=y,
        T=T - mean if centred else T,
        weights=rule.weights,
        constant=None if centring is None else centring.constant,
        check=check.by_transform(),
        replicates=rule.replicates,
    )
    return law if rule.replicates > 1 else law.by_transform()


def _with_constant(
    link: Link,
    loss: Loss,
    noise: float,
    monitor_of: Callable[[LabelTransform], Monitor],
) -> tuple[Centring, tuple[Float64Array, Float64Array] | None]:
    """The constant that a loss fits to the population, and nodes that resolve its T if the last
    ones that it was fitted to do."""
    dimensions = link.rank + bool(noise)
    resolved = _resolved_labels(link, noise)
    not_constant(resolved.y)
    if loss.name == "squared" or dimensions > MAX_BOX_DIMENSIONS:  # no other nodes than these
        return _constant(loss, resolved.y, resolved.weights, near=_roughly(loss, resolved)), None
    if not loss.smooth:
        # T jumps where the label is the constant: only nodes of the very same one resolve it.
        centring = _constant(loss, resolved.y, resolved.weights)
        for share in _REFITS[dimensions]:
            constant = centring.constant
            nodes, weights = normal_nodes(
                lambda x, c=constant: loss.label_transform(  # type: ignore[misc]
                    _labels(link, noise, x), c
                )[:, None],
                dimensions,
                share=share,
            )
            centring = _constant(loss, _labels(link, noise, nodes), weights, near=constant)
        return centring, None
    centring = Centring(_roughly(loss, resolved))
    for _ in range(len(_REFITS[dimensions]) + 1):
        constant = centring.constant
        nodes, weights = normal_nodes(
            monitor_of(LabelTransform.of_loss(loss, centring)),
            dimensions,
            share=_SHARE_WITHOUT_JUMPS.get(dimensions, 1.0),
        )
        centring = _constant(loss, _labels(link, noise, nodes), weights, near=constant)
        if abs(centring.constant - constant) <= _SETTLED[dimensions] * resolved.spread:
            break
    return centring, (nodes, weights)


@dataclass(frozen=True)
class _Resolved:
    """Labels `(q,)` in rising order on nodes that resolve them, the nodes' weights, and the
    labels' standard deviation."""

    y: Float64Array
    weights: Float64Array
    spread: float


@cached(maxsize=2)
def _resolved_labels(link: Link, noise: float) -> _Resolved:
    """Where every loss begins."""
    nodes, weights = normal_nodes(
        lambda x: _labels(link, noise, x)[:, None], link.rank + bool(noise)
    )
    y = _labels(link, noise, nodes)
    order = stable_order(y)
    y, weights = y[order], weights[order]
    y.flags.writeable = weights.flags.writeable = False
    return _Resolved(y, weights, _spread(y, weights))


def _spread(y: Float64Array, weights: Float64Array) -> float:
    """The labels' standard deviation, also where heavy tails have squares that overflow."""
    deviations = y - weights @ y
    largest = float(np.abs(deviations).max())
    if largest == 0:
        return 0.0
    return largest * float(np.sqrt(weights @ (deviations / largest) ** 2))


def _roughly(loss: Loss, resolved: _Resolved) -> float:
    """The constant that a loss fits to means of neighbouring labels."""
    starts = np.linspace(0, len(resolved.y), _GROUPS + 1).astype(np.intp)[:-1]
    starts = np.unique(starts)
    weights = np.add.reduceat(resolved.weights, starts)
    y = np.add.reduceat(resolved.weights * resolved.y, starts) / weights
    return fit_constant(loss, y, weights).constant


def _labels(link: Link, noise: float, x: Float64Array) -> Float64Array:
    y = link(x[:, : link.rank])
    return y + noise * x[:, link.rank] if noise else y


def _constant(
    loss: Loss, y: Float64Array, weights: Float64Array, *, near: float | None = None
) -> Centring:
    """`fit_constant`, with a median between two nodes rather than on one.

    On a node, sign(y − c) would be 0 for its whole weight; an atom of the law (labels ±1) is
    no accident, and stays. `near` is a guess; where it is a median itself, one of many, it stays.
    """
    if loss.name != "l1":
        if near is None or not loss.smooth:
            return fit_constant(loss, y, weights)
        spread = _spread(y, weights)
        return fit_constant(
            loss, y, weights, near=(near, _NEAR * spread), accuracy=_ACCURACY * spread
        )
    if near is not None and max(weights[y < near].sum(), weights[y > near].sum()) <= _HALF:
        return Centring(near, float(weights @ loss.derivative(np.full_like(y, near), y)))
    centring = fit_constant(loss, y, weights)
    if weights[y == centring.constant].sum() > ATOM:
        return centring
    above = y[y > centring.constant]
    constant = (centring.constant + float(above.min())) / 2
    offset = float(weights @ loss.derivative(np.full_like(y, constant), y))
    return Centring(constant, offset)


def sampled_law(
    link: Link | str,
    loss: Loss | str,
    n: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
    rank: int | None = None,
) -> LabelLaw:
    """The empirical law of n simulated labels: what an unbounded T needs.

    The constant is fitted to these labels, as stage 1 does.
    """
    link = get_link(link, rank=rank)
    noise = number("noise", noise, minimum=0.0)
    rng = np.random.default_rng([integer("seed", seed, minimum=0), 0x6C6177])
    z = rng.standard_normal((integer("n", n, minimum=2), link.rank))
    y = link(z)
    if noise:
        y = y + noise * rng.standard_normal(n)
    return realised_law(z, y, loss)


def truncated_law(
    link: Link | str, loss: Loss | str, n: int, *, noise: float = 0.0, rank: int | None = None
) -> LabelLaw:
    """The population's law without the |T| that one label in n exceeds: a deterministic
    approximation of a sample's, where T is unbounded. E T = 0 still."""
    law = label_law(link, loss, noise=noise, rank=rank)
    order = np.argsort(np.abs(law.T))
    above = law.weights[order][::-1].cumsum()[::-1]
    kept = order[above > 1 / integer("n", n, minimum=2)]
    weights = law.weights[kept] / law.weights[kept].sum()
    return replace(
        law,
        z=law.z[kept],
        y=law.y[kept],
        T=law.T[kept] - weights @ law.T[kept],
        weights=weights,
        check=None,
        replicates=1,
    )


def realised_law(z: ArrayLike, y: ArrayLike, loss: Loss | str) -> LabelLaw:
    """The empirical law of given hidden features `(n, r)` and labels `(n,)`.

    **Raises** `InputError` for mismatched shapes, or entries that are not finite.
    """
    loss = get_loss(loss)
    z = array("z", z, (None, None), dtype="float64")
    y = array("y", y, (z.shape[0],), dtype="float64")
    centring = fit_constant(loss, y)
    transform = LabelTransform.of_loss(loss, centring)
    T = _finite(transform, y)
    return LabelLaw(
        z=z,
        y=y,
        T=T - T.mean(),
        weights=np.full(len(y), 1 / len(y)),
        constant=centring.constant,
        removed_mean=float(T.mean()) - centring.offset,
        at_jump=False,
        check=None,
        replicates=1,
        tail=Tail(True, 0.0, "a finite sample"),
        sampled=True,
        rests_on="the labels of one sample, taken as they are",
    )


def _finite(transform: LabelTransform, y: Float64Array) -> Float64Array:
    T = transform(y)
    if T.shape != y.shape or not np.abs(T).max() < _LARGEST:  # NaN fails this as well
        advice = "" if transform.bounded else ": expected a bounded one, such as 'huber' or 'l1'"
        raise InputError(
            f"loss={transform.name!r}: T(y) is not a number below {_LARGEST:g} for every label in "
            f"[{y.min():.3g}, {y.max():.3g}]{advice}"
        )
    return T


def _tail(link: Link, transform: LabelTransform, noise: float) -> Tail:
    if transform.bounded:
        return Tail(True, 0.0, f"{transform.name} is bounded for every label")
    if transform.bounded is False:
        return Tail(False, None, f"{transform.name} is not bounded")
    tail = tail_of(lambda z: transform(link(z)), link.rank)
    if noise and tail.bounded is not False:
        y = np.concatenate([s * np.geomspace(1, 1e6, 32) for s in (-1, 1)])
        if np.abs(transform(y)).max() > 1e3 * np.abs(transform(np.array([1.0, -1.0]))).max():
            return Tail(False, max(1.0, tail.growth or 0.0), "Gaussian noise under an unbounded T")
    return tail
