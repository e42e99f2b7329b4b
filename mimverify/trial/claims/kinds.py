"""The kinds of cases that exact claims try, each with faults that only it reveals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimverify.support.arrays import FloatArray
from mimverify.trial.claims import awkward_values as values
from mimverify.trial.claims import near_symmetric_starts as starts

__all__ = ["KINDS", "ONE_STEP_KINDS", "SYMMETRIC_KINDS", "Kind"]


@dataclass(frozen=True)
class Kind:
    """Values that one kind of case takes; the first of each is the simplest case.

    A profile that tries one case of each kind tries the simplest. So what must be met in every
    trial is the first value, or the only one, of a kind of its own.

    **Arguments**

    - `dims`, `neurons`, `steps`: d, m, T; without `steps` those of the claim.
    - `samples`: n; without it n/d is one of `ratios`.
    - `norms`, `scales`: lengths of the initial weights, factors on the labels.
    - `decay`: η β.
    - `every_dtype`: try each combination in all dtypes.
    - `one_step`: whether it reveals a fault in the first step as well as in any later one.
    - `symmetric`: whether the theorem's own setting, the symmetric start, allows it.
    - `start`: makes the network of a random one and the symmetric start; without it, random.
    - `change_network`, `change_data`: called with (W, a, b) and (X, y), which they change.
    """

    dims: tuple[int, ...] = (8, 3, 4, 5, 7, 12, 17, 24)
    ratios: tuple[float, ...] = (4.0, 1.1, 1.5, 2.0, 3.0, 8.0)
    samples: tuple[int, ...] = ()
    neurons: tuple[int, ...] = (4, 2, 6, 10, 32)
    steps: tuple[int, ...] = ()
    norms: tuple[float, ...] = (0.1, 0.01, 1.0)
    scales: tuple[float, ...] = (1.0,)
    decay: float = 0.15
    every_dtype: bool = False
    one_step: bool = True
    symmetric: bool = False
    start: starts.Start | None = None
    change_network: Callable[[FloatArray, FloatArray, FloatArray], None] | None = None
    change_data: Callable[[FloatArray, FloatArray], None] | None = None


def _repeat_a_third(X: FloatArray, y: FloatArray) -> None:
    third = len(y) // 3  # repeating every row would change no mean
    X[-third:], y[-third:] = X[:third], y[:third]


def _nearly_symmetric(start: starts.Start, *, decay: float = 1.0, one_step: bool = True) -> Kind:
    """One of the starts near the symmetric one; two pairs of neurons are the fewest that differ."""
    return Kind(neurons=(4, 6, 10), decay=decay, start=start, one_step=one_step)


def _awkward(
    change_data: Callable[[FloatArray, FloatArray], None],
    change_network: Callable[[FloatArray, FloatArray, FloatArray], None] | None = None,
) -> Kind:
    """A kind of awkward values, with the rows that these need."""
    return Kind(ratios=(4.0, 8.0), change_data=change_data, change_network=change_network)


#: All kinds. Row counts are primes: no block size divides them. Those that most claims try come
#: first, so that they are tried with the same activations, losses and dtypes in all
#: (`covering_blocks`). Kinds whose shape does not matter have that of "small", so that a trainer
#: that compiles for each shape has done so.
KINDS: dict[str, Kind] = {
    "small": Kind(symmetric=True, one_step=False),
    "tall": Kind(  # blocks of rows
        dims=(12, 24), samples=(1543, 1031, 2053), neurons=(6, 10), symmetric=True, one_step=False
    ),
    "odd": Kind(neurons=(3, 1, 7, 131), one_step=False),  # pairs and blocks of neurons
    # Clipping, overflow; enough entries that some lie in every range of the nonlinearities. Where
    # a function overflows depends on the dtype, and clipping at ±10 shows in float64 alone.
    "large-magnitude": Kind(
        dims=(12, 8, 17, 24),
        ratios=(8.0, 4.0),
        neurons=(10, 6, 32),
        norms=(10.0, 30.0),
        scales=(20.0, 100.0),
        every_dtype=True,
        symmetric=True,
        one_step=False,
    ),
    # β = 1/η too, but σ of any parity
    "mirrored": Kind(decay=1.0, start=starts.symmetric, one_step=False),
    "wide": Kind(  # n ≤ d
        dims=(24, 40, 60), ratios=(0.5, 1.0), neurons=(132, 4, 10), symmetric=True, one_step=False
    ),
    "long": Kind(steps=(12, 17, 40), symmetric=True, one_step=False),  # schedules, early stops
    "mirrored-with-biases": Kind(start=starts.with_biases, one_step=False),  # and another β
    # wrong from step 2 on
    "mirrored-biases": _nearly_symmetric(starts.with_mirrored_biases, one_step=False),
    "half-mirrored": Kind(decay=1.0, start=starts.output_weights_alone),  # any W
    "square": Kind(dims=(6,), neurons=(6,)),  # m = d: transposed arrays fit
    "undecayed": Kind(decay=0.0),  # β = 0 is a value like any other
    "overdecayed": Kind(decay=1.5),  # 1 − η β < 0
    "repeated": Kind(ratios=(4.0, 2.0, 8.0), change_data=_repeat_a_third),  # rows that occur twice
    "few-rows": Kind(samples=(1, 2)),  # hardly any rows
    "many-rows": Kind(dims=(3,), samples=(20011,), neurons=(2,), steps=(2,)),  # blocks of 4096
    # -- sizes: of 16-bit indices, of blocks, of other axes
    "rows-beyond-16-bits": Kind(dims=(3,), samples=(98317,), neurons=(2,), steps=(2,)),
    "many-neurons": Kind(dims=(3,), samples=(11,), neurons=(1031,), steps=(2,)),
    "many-columns": Kind(dims=(1031,), samples=(7,), neurons=(3,), steps=(2,)),
    "square-inputs": Kind(dims=(6,), samples=(6,), neurons=(4,)),  # n = d
    "rows-as-neurons": Kind(dims=(5,), samples=(6,), neurons=(6,)),  # n = m: P may be transposed
    "cubic": Kind(dims=(6,), samples=(6,), neurons=(6,)),  # n = m = d
    # -- values
    "zeros": _awkward(values.zero_data, values.zero_weights),
    "outliers": _awkward(values.outliers),
    "tiny-labels": Kind(scales=(1e-6,), norms=(1e-5,), change_network=values.tiny_output_weights),
    "subnormal": _awkward(values.subnormal_data, values.subnormal_weights),
    "whole-numbers": _awkward(values.whole_numbers),
    "constant-labels": _awkward(values.constant_labels),
    "one-odd-label": _awkward(values.one_odd_label),
    # -- structure: of the symmetric start, in part
    "mirrored-with-decay": _nearly_symmetric(starts.symmetric, decay=0.15),
    "mirrored-opposite-biases": _nearly_symmetric(starts.with_opposite_biases),
    "mirrored-unequal": _nearly_symmetric(starts.unequal_output_weights),
    "mirrored-weights": _nearly_symmetric(starts.weights_alone),
    "first-pairs-mirrored": _nearly_symmetric(starts.first_pairs_alone),
    "interleaved": _nearly_symmetric(starts.halves_interleaved),
}

#: Kinds that reveal a fault in the first step as well as in any later one.
ONE_STEP_KINDS = tuple(name for name, kind in KINDS.items() if kind.one_step)

#: Kinds that the theorem's own setting, the symmetric start, allows.
SYMMETRIC_KINDS = tuple(name for name, kind in KINDS.items() if kind.symmetric)
