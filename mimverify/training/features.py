"""The random features of stage 2, and their moments, a strip of rows at a time.

φ_k(x) = σ(ŵ_{k mod m}·x + b_k). Neither n × p features nor n × m projections are ever stored.
Source: theory.md §2 step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.designs.base import Design
from mimverify.network.activations import Activation
from mimverify.problems.streams import cut_rows
from mimverify.support.scratch import Pool, Scratch
from mimverify.support.threads import (
    current_threads,
    map_in_order,
    single_threaded_libraries,
    sum_in_order,
)

Array = NDArray[np.float64]
_Strip = tuple[NDArray[np.floating[Any]], Array]  # projections (k, q) and labels (k,)

# Rows whose features stay in a core's cache, with what they are computed from.
_BAND = 128
#: Rows of one thread at a time, at most: tall enough for the Gram matrix's product.
FEATURE_STRIP = 1024
#: Rows that are gathered before threads share out their strips.
FEATURE_PIECE = 8 * FEATURE_STRIP


@dataclass(frozen=True)
class Features:
    """p features of projections on k directions.

    **Arguments**

    - `directions`: k; feature j reads direction j mod k.
    - `biases`: `(p,)`.
    - `activation`: σ.
    """

    directions: int
    biases: Array
    activation: Activation

    def __len__(self) -> int:
        return len(self.biases)

    def of(self, P: NDArray[np.floating[Any]], scratch: Scratch) -> Array:
        """φ `(n, p)`, float64, of projections `(n, k)` or wider. Lost at the next call.

        In float32 where the projections are, whose rounding they carry anyway.
        """
        dtype = np.float32 if P.dtype == np.float32 else np.float64
        P, biases = P.astype(dtype, copy=False), self.biases.astype(dtype, copy=False)
        (phi,) = scratch.blocks((len(P), len(self)), self.biases)
        (work,) = scratch.blocks((2, _BAND, len(self)), biases)
        z, value = work
        which = np.arange(len(self)) % self.directions
        for start in range(0, len(P), _BAND):
            rows = slice(start, min(start + _BAND, len(P)))
            some = rows.stop - start
            # Any mode but "raise", which would go by way of another array.
            np.take(P[rows], which, axis=1, out=z[:some], mode="clip")
            z[:some] += biases
            self.activation.to_value(z[:some], value[:some])
            phi[rows] = value[:some]
        return phi  # type: ignore[no-any-return]

    def combined(
        self, n: int, project: Callable[[slice], NDArray[np.floating[Any]]], weights: Array
    ) -> Array:
        """φ · weights for n rows, `(n,)`; `project` gives some rows' projections `(k, q)`.

        Columns of projections beyond those of the features are added to the result.
        """
        out, scratch = np.empty(n), Scratch()

        def evaluate(rows: slice) -> None:
            P = project(rows)
            out[rows] = self.of(P, scratch) @ weights
            out[rows] += P[:, self.directions :].sum(axis=1, dtype=np.float64)

        strips, threads = list(cut_rows(slice(0, n), FEATURE_STRIP)), current_threads()
        with single_threaded_libraries():
            map_in_order(evaluate, strips, threads)
        return out


@dataclass(frozen=True)
class Moments:
    """What ridge regression on features needs to know of the data.

    - `mean`: of the features, `(p,)`; `gram`: their covariance `(p, p)`.
    - `cross`: their covariance with the labels, `(p,)`; `intercept`: the labels' mean.
    """

    mean: Array
    gram: Array
    cross: Array
    intercept: float


def feature_moments(
    design: Design, y: NDArray[np.floating[Any]], V: Array, features: Features
) -> Moments:
    """The moments over all rows of a design, in one pass.

    **Arguments**

    - `y`: labels of all rows, `(n,)`.
    - `V`: the directions of the features, `(k, d)`, or `(k + 1, d)` with a linear part, whose
      predictions are taken off the labels first.
    """
    n, p = design.n_samples, len(features)
    centre = float(np.mean(y, dtype=np.float64))
    scratch, sums = Scratch(), Pool()
    pieces = _pieces(design, y, V, features.directions, centre)
    # A shift near the mean, the same on every process: the centring then cancels little.
    head = list(islice(pieces, 1))
    first = np.zeros(p + 1)
    for (P, _), *_ in head:
        phi = features.of(P, scratch)
        first[:] = np.append(phi.sum(axis=0), len(phi))
    first = design.reduce(first)
    offset = first[:p] / first[p]

    def part(strip: _Strip) -> Array:
        P, target = strip
        phi = features.of(P, scratch)
        phi -= offset
        packed: Array = sums.take((1 + 2 * p + p * p,), like=first)
        packed[0] = target.sum()
        phi.sum(axis=0, out=packed[1 : p + 1])
        np.matmul(phi.T, target, out=packed[p + 1 : 2 * p + 1])
        np.matmul(phi.T, phi, out=packed[2 * p + 1 :].reshape(p, p))
        return packed

    total = np.zeros(1 + 2 * p + p * p)
    for strips in chain(head, pieces):
        threads = current_threads()
        with single_threaded_libraries():
            found = sum_in_order(part, strips, threads, release=sums.give)
        strips.clear()  # before the next ones are gathered
        total += found
        sums.give(found)
    total = design.reduce(total) / n
    mean, cross = total[1 : p + 1], total[p + 1 : 2 * p + 1]
    return Moments(
        mean=mean + offset,
        gram=total[2 * p + 1 :].reshape(p, p) - np.outer(mean, mean),
        cross=cross - total[0] * mean,
        intercept=centre + float(total[0]),
    )


def _pieces(
    design: Design, y: NDArray[np.floating[Any]], V: Array, k: int, centre: float
) -> Iterator[list[_Strip]]:
    """Some `FEATURE_PIECE` rows at a time, labels less the centre and the linear part."""
    held: list[_Strip] = []
    rows_held = 0
    for rows, projected in design.projections(design.backend.asarray(V)):
        P = design.backend.to_numpy(projected)
        target = np.asarray(y[rows], dtype=np.float64) - centre
        if len(V) > k:
            target -= P[:, -1]
        for part in cut_rows(slice(0, len(P)), FEATURE_STRIP):
            held.append((P[part], target[part]))
        rows_held += len(P)
        if rows_held >= FEATURE_PIECE:
            yield held
            held, rows_held = [], 0
    if held:
        yield held
