"""The random features of stage 2, and their moments, a block of rows at a time.

φ_k(x) = σ(ŵ_{k mod m}·x + b_k). Neither n × p features nor n × m projections are ever stored.
Source: theory.md §2 step 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from mimverify.designs.base import Design
from mimverify.native import native_library, network_features
from mimverify.network.activations import Activation
from mimverify.network.native_kinds import activation_kind
from mimverify.problems.streams import cut_rows
from mimverify.support.arrays import Float64Array, FloatArray, NumpyArray
from mimverify.support.scratch import Pool, Scratch
from mimverify.support.threads import (
    current_threads,
    map_with_own_threads,
    single_threaded_libraries,
    sum_in_order,
)

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Real

_Block = tuple[FloatArray, Float64Array]  # projections (k, q) and labels (k,)

# Rows whose features stay in one core's cache, with their projections.
_CACHE_ROWS = 128
#: Rows of one thread at a time, at most: enough for a fast product of the Gram matrix.
FEATURE_BLOCK_ROWS = 1024
#: Rows that are gathered before threads process their blocks.
FEATURE_CHUNK_ROWS = 8 * FEATURE_BLOCK_ROWS


@dataclass(frozen=True)
class Features:
    """p features of projections on k directions.

    **Arguments**

    - `directions`: k; feature j reads direction j mod k.
    - `biases`: `(p,)`.
    - `activation`: σ.
    """

    directions: int
    biases: Float64Array
    activation: Activation

    def __len__(self) -> int:
        return len(self.biases)

    def of(self, P: Real[NumpyArray, "n k"], scratch: Scratch) -> Float64[Float64Array, "n p"]:
        """φ `(n, p)`, float64, of projections `(n, k)` or wider; overwritten by the next call.

        Computed in float32 if the projections are: their rounding dominates.
        """
        dtype = np.float32 if P.dtype == np.float32 else np.float64
        P, biases = P.astype(dtype, copy=False), self.biases.astype(dtype, copy=False)
        (phi,) = scratch.blocks((len(P), len(self)), self.biases)
        native, name = native_library(), activation_kind(self.activation)
        if native is not None and name is not None and phi.size:
            network_features(native, name, P, self.directions, biases, phi)
            return phi  # type: ignore[no-any-return]
        (work,) = scratch.blocks((2, _CACHE_ROWS, len(self)), biases)
        z, value = work
        which = np.arange(len(self)) % self.directions
        for rows in cut_rows(slice(0, len(P)), _CACHE_ROWS):
            height = rows.stop - rows.start
            # Any mode but "raise", which allocates another array.
            np.take(P[rows], which, axis=1, out=z[:height], mode="clip")
            z[:height] += biases
            self.activation.to_value(z[:height], value[:height])
            phi[rows] = value[:height]
        return phi  # type: ignore[no-any-return]

    def combined(
        self, n: int, project: Callable[[slice], FloatArray], weights: Float64[Float64Array, " p"]
    ) -> Float64[Float64Array, " n"]:
        """φ · weights for n rows, `(n,)`; `project` returns the projections `(k, q)` of a range.

        Columns of projections beyond those of the features are added to the result.
        """
        out, scratch = np.empty(n), Scratch()

        def evaluate(rows: slice) -> None:
            P = project(rows)
            out[rows] = self.of(P, scratch) @ weights
            out[rows] += P[:, self.directions :].sum(axis=1, dtype=np.float64)

        map_with_own_threads(evaluate, list(cut_rows(slice(0, n), FEATURE_BLOCK_ROWS)))
        return out


@dataclass(frozen=True)
class Moments:
    """The moments of the data that ridge regression on features needs.

    - `mean`: of the features, `(p,)`; `gram`: their covariance `(p, p)`.
    - `cross`: their covariance with the labels, `(p,)`; `intercept`: the labels' mean.
    """

    mean: Float64Array
    gram: Float64Array
    cross: Float64Array
    intercept: float


def feature_moments(
    design: Design,
    y: Float[FloatArray, " n"],
    V: Float64[Float64Array, "rows d"],
    features: Features,
) -> Moments:
    """The moments over all rows of a design, in one pass.

    **Arguments**

    - `y`: labels of all rows, `(n,)`.
    - `V`: the directions of the features, `(k, d)`, or `(k + 1, d)` with a linear part, whose
      predictions are subtracted from the labels first.
    """
    n, p = design.n_samples, len(features)
    centre = float(np.mean(y, dtype=np.float64))
    scratch, sums = Scratch(), Pool()
    chunks = _chunks(design, y, V, features.directions, centre)
    # A shift near the mean, the same on every process: centring then loses few digits.
    head = list(islice(chunks, 1))
    first = np.zeros(p + 1)
    for (P, _), *_ in head:
        phi = features.of(P, scratch)
        first[:] = np.append(phi.sum(axis=0), len(phi))
    first = design.reduce(first)
    offset = first[:p] / first[p]

    def moments(block: _Block) -> Float64Array:
        P, target = block
        phi = features.of(P, scratch)
        phi -= offset
        packed: Float64Array = sums.take((1 + 2 * p + p * p,), like=first)
        packed[0] = target.sum()
        phi.sum(axis=0, out=packed[1 : p + 1])
        np.matmul(phi.T, target, out=packed[p + 1 : 2 * p + 1])
        np.matmul(phi.T, phi, out=packed[2 * p + 1 :].reshape(p, p))
        return packed

    total = np.zeros(1 + 2 * p + p * p)
    for blocks in chain(head, chunks):
        threads = current_threads()
        with single_threaded_libraries():
            chunk = sum_in_order(moments, blocks, threads, release=sums.give)
        blocks.clear()  # frees them before the next are gathered
        total += chunk
        sums.give(chunk)
    total = design.reduce(total) / n
    mean, cross = total[1 : p + 1], total[p + 1 : 2 * p + 1]
    return Moments(
        mean=mean + offset,
        gram=total[2 * p + 1 :].reshape(p, p) - np.outer(mean, mean),
        cross=cross - total[0] * mean,
        intercept=centre + float(total[0]),
    )


def _chunks(
    design: Design, y: FloatArray, V: Float64Array, k: int, centre: float
) -> Iterator[list[_Block]]:
    """Blocks of `FEATURE_CHUNK_ROWS` rows or more at a time; labels less centre and linear part."""
    blocks: list[_Block] = []
    gathered = 0
    for rows, projected in design.projections(design.backend.asarray(V)):
        P = design.backend.to_numpy(projected)
        target = np.asarray(y[rows], dtype=np.float64) - centre
        if len(V) > k:
            target -= P[:, -1]
        for block in cut_rows(slice(0, len(P)), FEATURE_BLOCK_ROWS):
            blocks.append((P[block], target[block]))
        gathered += len(P)
        if gathered >= FEATURE_CHUNK_ROWS:
            yield blocks
            blocks, gathered = [], 0
    if blocks:
        yield blocks
