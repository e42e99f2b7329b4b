"""The trainer under trial: the methods that claims call, whichever of them it offers."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mimverify.handles import TrainerHandle
from mimverify.handles.memory_forms import PLAIN
from mimverify.handles.methods import OPERATION_COUNTS, Arrays, Options
from mimverify.handles.operations import FIRST_LAYER, REFILL
from mimverify.network import ACTIVATIONS, LOSSES
from mimverify.support.arrays import FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.former_names import no_attribute
from mimverify.support.validation import canonical
from mimverify.trial.outcomes import NotApplicable
from mimverify.trial.reference.oracle import ORACLE_ACTIVATIONS, ORACLE_LOSSES
from mimverify.trial.trainer.call_times import CallTimes, magnitude
from mimverify.trial.trainer.time_share import TimeShare, TimeSpent

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "FIRST_LAYER_METHODS",
    "STANDARD_ACTIVATIONS",
    "STANDARD_DTYPES",
    "STANDARD_LOSSES",
    "Combination",
    "TrainerUnderTrial",
]

#: Methods that train the first layer, each of which the other can be derived from.
FIRST_LAYER_METHODS = ("step", "trajectory")
#: Names of activation, loss and dtype.
Combination: TypeAlias = tuple[str, str, str]
#: Of a call: its method, arrays and options, and the form of memory that the arrays lie in.
_Arguments: TypeAlias = tuple[str, Arrays, Options, str]

#: What a trainer that declares nothing is tested with: the README's table, to which an activation
#: or a loss is added by decision, not by being there.
STANDARD_ACTIVATIONS = (
    "log-cosh", "quadratic", "pseudo-huber", "relu", "softplus", "gelu", "tanh"
)  # fmt: skip
STANDARD_LOSSES = ("squared", "l1", "huber", "pseudo-huber", "log-cosh")
STANDARD_DTYPES = ("float64", "float32")


class TrainerUnderTrial:
    """A trainer behind its handle: `step` and `trajectory` are derived from one another.

    Of a trainer that offers both, `train_by` says which of them is called. A trial sets it, so that
    each of the two meets every kind of configuration.
    """

    def __init__(self, handle: TrainerHandle) -> None:
        self.handle = handle
        self.methods = handle.capabilities.methods
        #: Those of `step` and `trajectory` that the trainer offers.
        self.first_layer_methods = tuple(
            name for name in FIRST_LAYER_METHODS if name in self.methods
        )
        self._method: str | None = None
        self._share: TimeShare | None = None
        self._times = CallTimes()
        self._form, self._watched = PLAIN, False  # of the calls
        self._known = 0  # signatures known when the share began
        #: First calls of which it is unknown whether they compiled, one of each size.
        self._unexplained: dict[tuple[str, int], _Arguments] = {}
        declared = handle.capabilities
        # A trainer is called with its own spelling of a name ("logcosh"), the oracle with ours.
        self._spelling: dict[str, str] = {}
        self.activations = self._canonical(declared.activations, ACTIVATIONS, STANDARD_ACTIVATIONS)
        self.losses = self._canonical(declared.losses, LOSSES, STANDARD_LOSSES)
        self.dtypes = self._canonical(declared.dtypes, STANDARD_DTYPES, STANDARD_DTYPES)

    if not TYPE_CHECKING:  # a type checker knows which attributes there are

        def __getattr__(self, name):
            no_attribute(self, name)

    def _canonical(
        self, declared: tuple[str, ...] | None, known: Iterable[str], default: tuple[str, ...]
    ) -> tuple[str, ...]:
        """The declared names in mimverify's spelling; unknown ones stay as they are."""
        if declared is None:
            return default
        ours = {canonical(name): name for name in known}
        names = [ours.get(canonical(name), name) for name in declared]
        self._spelling |= dict(zip(names, declared, strict=True))
        return tuple(names)

    @property
    def capabilities(self) -> frozenset[str]:
        """Keys of `claim.CAPABILITIES` that the trainer has."""
        found = set()
        if self.first_layer_methods:
            found.add("first layer")
            if "operation_counts" in self.methods:
                found.add("operation counts")
        if self.methods >= {"fit", "predict"}:
            found.add("regression")
        return frozenset(found)

    @property
    def sets_random_state(self) -> bool:
        """Whether the trainer has a `random_state`, from which every fit draws the same numbers."""
        return self.handle.capabilities.sets_random_state

    def supported(
        self, activations: Sequence[str], losses: Sequence[str], dtypes: Sequence[str]
    ) -> Iterator[Combination]:
        """All (activation, loss, dtype) of the given ones that the trainer supports.

        **Raises** `NotApplicable` where there is none.
        """
        return product(*self.common(activations, losses, dtypes))

    def common(
        self, activations: Sequence[str], losses: Sequence[str], dtypes: Sequence[str]
    ) -> tuple[list[str], list[str], list[str]]:
        """Those of the given activations, losses and dtypes that the trainer supports.

        **Raises** `NotApplicable` where one of the three has none.
        """
        offers = (
            ("activations", activations, self.activations),
            ("losses", losses, self.losses),
            ("dtypes", dtypes, self.dtypes),
        )
        common = []
        for plural, wanted, offered in offers:
            both = [name for name in wanted if name in offered]
            if not both:
                raise NotApplicable(
                    f"needs one of {', '.join(wanted)}; the trainer declares as {plural} "
                    f"{', '.join(offered) or 'none'}{_without_oracle(plural, offered)}"
                    f"{_meant(offered, wanted)}",
                    avoidable=True,
                )
            common.append(both)
        return common[0], common[1], common[2]

    def begin(self, share: TimeShare | None) -> None:
        """Begin a claim with this share of the time; None for no limit."""
        self._share, self._known = share, len(self._times)
        self._unexplained.clear()

    @property
    def compiling(self) -> float:
        """Seconds of the claim's time that the trainer spent compiling and that do not count."""
        seconds = self._times.compiling(self._known)
        return seconds if self._share is None else self._share.allowed(seconds)

    def check_time(self) -> None:
        """**Raises** `TimeSpent` once the claim's share of the time is spent.

        Only then it matters whether the first calls were slow or compiled something: they are
        repeated to find out.
        """
        if self._share is None or not self._share.spent(0.0):
            return
        while self._share.spent(self.compiling):
            if not self._unexplained:
                raise TimeSpent("its share of the profile's time was spent before a decision")
            _, call = self._unexplained.popitem()
            if self._times.unexplained(*_of_a_program(*call)):
                self._timed_call(*call, handle=getattr(self.handle, "unrecorded", self.handle))

    @contextmanager
    def memory(self, form: str = PLAIN, *, watched: bool = False) -> Iterator[None]:
        """The calls of a block are handed their arrays in another form of memory, or watched.

        **Arguments**

        - `form`: a key of `MEMORY_FORMS`.
        - `watched`: find out what the calls change that is not theirs: see `take_changes`.
        """
        before = self._form, self._watched
        self._form, self._watched = form, watched
        try:
            yield
        finally:
            self._form, self._watched = before

    def take_changes(self) -> tuple[str, ...]:
        """What watched calls of the current trainer changed since the last time: arguments of
        theirs, of earlier calls, or earlier results; a sentence each."""
        return self.handle.take_changes()

    def fresh(self, seed: int) -> None:
        """A new trainer whose `random_state`, if it has one, is `seed`."""
        self.handle.fresh(seed)

    def train_by(self, method: str | None) -> None:
        """Derive both `step` and `trajectory` from this one of `first_layer_methods` from now on.

        None, as at first: each is the trainer's own where it has it.

        **Raises** `InputError` for one that the trainer does not offer.
        """
        if method is not None and method not in self.first_layer_methods:
            offered = ", ".join(self.first_layer_methods) or "none"
            raise InputError(f"method={method!r}: expected one that the trainer offers: {offered}")
        self._method = method

    @property
    def trained_by(self) -> str | None:
        """The method that `train_by` set last."""
        return self._method

    def _calls(self, method: str) -> bool:
        """Whether the trainer's own method of that name is called."""
        return method in self.methods and self._method in (None, method)

    def step(
        self,
        W: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        **options: object,
    ) -> Float[FloatArray, "m d"]:
        """One step from W `(m, d)`: by `step`, or as the first of `trajectory`."""
        if self._calls("step"):
            return self._result("step", {"W": W, "a": a, "b": b, "X": X, "y": y}, options)
        return np.asarray(self.trajectory(W, a, b, X, y, steps=1, **options)[1])

    def trajectory(
        self,
        W: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        *,
        steps: int,
        **options: object,
    ) -> Float[FloatArray, "steps_1 m d"]:
        """The weights `(steps + 1, m, d)` from W: by `trajectory`, or step by step."""
        if self._calls("trajectory"):
            arrays = {"W0": W, "a": a, "b": b, "X": X, "y": y}
            return self._result("trajectory", arrays, {"steps": steps, **options})
        weights = [np.array(W)]
        for _ in range(steps):
            # A trainer may return a wider dtype; the trajectory keeps that of W.
            weights.append(self.step(weights[-1], a, b, X, y, **options).astype(W.dtype))
        return np.array(weights)

    def counted_trajectory(
        self,
        W: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        *,
        steps: int,
        **options: object,
    ) -> dict[str, int]:
        """`OPERATION_COUNTS` of `steps` steps from W, by the trainer's own `operation_counts`."""
        if self._calls("trajectory"):
            self.trajectory(W, a, b, X, y, steps=steps, **options)
            return self._operation_counts()
        total = dict.fromkeys(OPERATION_COUNTS, 0)
        for _ in range(steps):
            W = self.step(W, a, b, X, y, **options)
            total = {name: total[name] + k for name, k in self._operation_counts().items()}
        return total

    def _operation_counts(self) -> dict[str, int]:
        counts = self._result("operation_counts", {}, {})
        return {name: int(k) for name, k in zip(OPERATION_COUNTS, counts, strict=True)}

    def fit(self, X: Float[FloatArray, "n d"], y: Float[FloatArray, " n"]) -> None:
        """Train on the data of both stages, stacked: X `(n, d)`, y `(n,)`."""
        self._call("fit", {"X": X, "y": y}, {})

    def predict(self, X: Float[FloatArray, "n d"]) -> Float[FloatArray, " n"]:
        """Predictions `(n,)` for X `(n, d)`."""
        return self._result("predict", {"X": X}, {})

    def first_layer_after_fit(self) -> Float[FloatArray, "m d"] | None:
        """The attribute `first_layer_`, `(m, d)`; None where the trainer has no such array."""
        self.check_time()
        return self.handle.call(FIRST_LAYER, {}, {})

    def replace_by_copy(self, how: str) -> None:
        """Later calls go to a copy of the trainer, made by one of `COPIES`.

        **Raises** `TrainerError` of kind `"raised"` where it cannot be copied.
        """
        self.check_time()
        self.handle.call(how, {}, {})

    def refill_arguments(self) -> None:
        """From now on the trainer is called with the same arrays again, filled anew."""
        self.handle.call(REFILL, {}, {})

    def call(
        self, method: str, arrays: Mapping[str, FloatArray], **options: object
    ) -> NumpyArray | None:
        """Call a method that the claims brought with them, or any other that the trainer offers.

        **Arguments**

        - `method`: a name of the claim's `Capability`.
        - `arrays`, `options`: by name, as its `Method` says. Names of activations and losses are
          handed over as the trainer spells them.

        **Returns** the array of the shape that the `Method` says, float32 or float64, all finite;
        None for a method that returns nothing.

        **Raises** `InputError` for other arguments than the method's, or where the trainer does
        not offer it; `TrainerError` as any call does.
        """
        return self._call(method, dict(arrays), options)

    def _result(
        self, method: str, arrays: dict[str, FloatArray], options: dict[str, object]
    ) -> NumpyArray:
        result = self._call(method, arrays, options)
        assert result is not None  # only fit returns nothing
        return result

    def _call(
        self, method: str, arrays: dict[str, FloatArray], options: dict[str, object]
    ) -> NumpyArray | None:
        # Repeated calls would come between these two and the call that they are about.
        if method not in ("predict", "operation_counts"):
            self.check_time()
        spelled = {
            key: self._spelling.get(value, value) if isinstance(value, str) else value
            for key, value in options.items()
        }
        call = method, arrays, spelled, self._form
        result = self._timed_call(*call, watched=self._watched)
        if self._share is not None and self._times.unexplained(*_of_a_program(*call)):
            place = method, magnitude(arrays, spelled)
            self._unexplained[place] = call
        return result

    def _timed_call(
        self,
        method: str,
        arrays: Arrays,
        options: Options,
        form: str,
        *,
        watched: bool = False,
        handle: TrainerHandle | None = None,
    ) -> NumpyArray | None:
        began = time.monotonic()
        given = (handle or self.handle).call(method, arrays, options, form=form, watched=watched)
        self._times.observe(*_of_a_program(method, arrays, options, form), time.monotonic() - began)
        return given


def _of_a_program(
    method: str, arrays: Arrays, options: Options, form: str
) -> tuple[str, Arrays, Options]:
    """What a compiled program depends on: some compilers make another for each memory layout."""
    return method, arrays, {**options, "memory form": form}


def _without_oracle(plural: str, declared: Sequence[str]) -> str:
    """Which of the declared names mimverify knows and the oracle does not; else ""."""
    known, oracle = {
        "activations": (set(ACTIVATIONS), set(ORACLE_ACTIVATIONS)),
        "losses": (set(LOSSES), set(ORACLE_LOSSES)),
    }.get(plural, (set(), set()))
    lacking = [name for name in declared if name in known - oracle]
    return f" (the oracle has no formula of {', '.join(lacking)})" if lacking else ""


def _meant(declared: Sequence[str], wanted: Sequence[str]) -> str:
    """A question for a declared name that is misspelt, as it seems; else ""."""
    for name in declared:
        close = difflib.get_close_matches(name, wanted, n=1, cutoff=0.8)
        if close:
            return f"; did you mean {close[0]!r}?"
    return ""
