"""Tests of `mimverify.handles` in this process: finding, constructing and calling a trainer."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from mimverify.handles import Capabilities, InProcessTrainer, TrainerHandle
from mimverify.handles.calling import call
from mimverify.handles.capabilities import describe, name_of
from mimverify.handles.construction import load_source, new_trainer
from mimverify.handles.methods import SIGNATURES
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from mimverify.training import LayerwiseTrainer
from mimverify.trial import TrainerUnderTrial

N, M, D = 5, 4, 3
PHYSICS = {"eta": 0.5, "beta": 0.1, "activation": "square", "loss": "squared"}


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "helpers" / "stubs"))


def arrays(*names: str) -> dict[str, NumpyArray]:
    rng = np.random.default_rng(0)
    shapes = {"X": (N, D), "y": (N,), "W": (M, D), "W0": (M, D), "a": (M,), "b": (M,)}
    return {name: rng.standard_normal(shapes[name]) for name in names}


def call_step(result: Any) -> NumpyArray:
    """What `call` makes of `result`, returned by step()."""
    trainer = SimpleNamespace(step=lambda *arrays, **options: result)
    array = call(trainer, "step", arrays(*SIGNATURES["step"].arrays), PHYSICS)
    assert array is not None
    return array


def refusal(kind: str, function: Any, *arguments: Any) -> str:
    with pytest.raises(TrainerError) as caught:
        function(*arguments)
    assert caught.value.kind == kind
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- load_source ----------------------------------------------------------------------


@pytest.mark.parametrize("attribute", ["Scripted", "factory", "instance", "nested.deeper.Trainer"])
def test_load_source_finds_dotted_attributes(attribute: str) -> None:
    source = load_source(f"stub_trainers:{attribute}")
    assert "step" in describe(new_trainer(source)).methods


def test_load_source_looks_in_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("Trainer = 17\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert load_source("only_here:Trainer") == 17


@pytest.mark.parametrize("spec", ["", "stub_trainers", ":Scripted", "stub_trainers:", "a:b:c"])
def test_load_source_refuses_other_forms(spec: str) -> None:
    assert "expected 'module:attribute'" in refusal("import", load_source, spec)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("some/stub.py:Trainer", "not the path of a file"),
        ("no_such_module:Trainer", "no module 'no_such_module'"),
        ("stub_trainers.inner:Trainer", "no module 'stub_trainers.inner'"),
        ("stub_needy_module:Trainer", "needs the module 'a_module_that_nobody_has'"),
        ("stub_raising_module:Trainer", "raised ZeroDivisionError: no licence"),
        ("stub_trainers:Skripted", "no attribute 'Skripted'; did you mean 'Scripted'?"),
        ("stub_trainers:nested.other", "'stub_trainers.nested' has no attribute 'other'"),
    ],
)
def test_load_source_says_what_is_missing(spec: str, expected: str) -> None:
    assert expected in refusal("import", load_source, spec)


# --- what a trainer sets, forks and says ----------------------------------------------


class SetsStates:
    """Turns NumPy's errors and Python's warnings into exceptions, and expects them to stay so."""

    def step(self, W: NumpyArray, *_: NumpyArray, **options: object) -> NumpyArray:
        if options["activation"] == "set":
            np.seterr(all="raise")
            warnings.simplefilter("error")
        else:
            assert np.geterr() == dict.fromkeys(("divide", "over", "under", "invalid"), "raise")
            assert warnings.filters[0][0] == "error"
        return W


def test_what_a_trainer_sets_is_its_own() -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"), InProcessTrainer(SetsStates) as own:
        warnings.simplefilter("ignore")
        filters = list(warnings.filters)
        for activation in ("set", "expect", "expect"):
            given = arrays(*SIGNATURES["step"].arrays)
            own.call("step", given, {**PHYSICS, "activation": activation})
            assert np.geterr()["over"] == "ignore"
            assert list(warnings.filters) == filters


FORKS = """
import os
import re
import re
import numpy as np
from mimverify.handles.calling import call

class Forks:
    def fit(self, X, y):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        else:
            %s

try:
    call(Forks(), "fit", {"X": np.eye(2), "y": np.ones(2)}, {})
finally:
    os.write(1, b"returned ")
"""


@pytest.mark.parametrize("way", ["pass", "raise ValueError", "raise SystemExit", "1 / 0"])
def test_a_process_that_a_trainer_forks_does_not_return(way: str) -> None:
    """It would write its result over that of its parent."""
    done = subprocess.run([sys.executable, "-c", FORKS % way], capture_output=True, check=True)
    assert done.stdout == b"returned "


def test_nor_one_that_its_construction_forks() -> None:
    code = (
        "import os\n"
        "from mimverify.handles import InProcessTrainer\n"
        "class Forks:\n"
        "    def __init__(self):\n"
        "        child = os.fork()\n"
        "        if child:\n"
        "            os.waitpid(child, 0)\n"
        "    def fit(self, X, y): pass\n"
        "InProcessTrainer(Forks)\n"
        "os.write(1, b'returned ')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"returned "


@pytest.mark.parametrize("wrap", [lambda rows: rows, list, lambda rows: [list(r) for r in rows]])
def test_masked_entries_are_no_numbers(wrap: Any) -> None:
    rows = np.ma.masked_array(np.ones((M, D)), mask=np.eye(M, D) == 1)
    message = refusal("non-finite", call_step, wrap(rows))
    assert message == "step() returned a masked array with 3 masked entries, expected numbers"
    np.testing.assert_array_equal(call_step(np.ma.masked_array(np.ones((M, D)))), np.ones((M, D)))


@pytest.mark.parametrize("library", ["numpy", "masked", "torch"])
def test_a_wrong_shape_is_refused_before_it_is_copied(library: str) -> None:
    """2^57 bytes or more, were it copied."""
    side = 2**28
    huge: Any = np.broadcast_to(np.float32(0), (side, side))
    if library == "masked":
        huge = np.ma.masked_array(huge)
    if library == "torch":
        torch = pytest.importorskip("torch")
        huge = torch.zeros((), dtype=torch.bfloat16).expand(side, side)  # NumPy has no such type
    assert f"an array of shape ({side}, {side})" in refusal("shape", call_step, huge)


HOSTILE = "\x1b[2J\x07\u202e\udc80\r"


class Talks:
    losses: ClassVar[list[str]] = []

    def predict(self, X: NumpyArray) -> NumpyArray:
        raise ValueError(f"a{HOSTILE}b")

    def operation_counts(self) -> object:
        class Shown:
            def __repr__(self) -> str:
                return f"a{HOSTILE}b"

        return Shown()


@pytest.mark.parametrize("method", ["predict", "operation_counts"])
def test_control_characters_of_a_trainer_are_made_visible(method: str) -> None:
    given = arrays("X") if method == "predict" else {}
    kind = "raised" if method == "predict" else "dtype"
    message = refusal(kind, call, Talks(), method, given, {})
    assert message.isprintable()
    assert r"a\x1b[2J\x07\u202e\udc80" in message


def test_declared_names_and_names_of_classes_hold_no_control_characters() -> None:
    Talks.losses[:] = [f"l1{HOSTILE}"]
    with pytest.raises(TrainerError, match="expected a list of names") as refused:
        describe(Talks())
    assert str(refused.value).isprintable()
    odd = type("T\x1b[2J", (), {})
    assert name_of(odd).isprintable()


# --- new_trainer ----------------------------------------------------------------------


class Plain:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def predict(self, X: NumpyArray) -> NumpyArray:
        self.seen.append(len(X))
        return np.full(len(X), float(len(self.seen)))


class CallableTrainer(Plain):
    def __call__(self) -> None:
        raise AssertionError("an instance is no factory")


class Estimator:
    """Follows scikit-learn's convention without it; the learned state must not be cloned."""

    def __init__(self, width: int = 1, inner: Any = None, random_state: int | None = None) -> None:
        self.width, self.inner, self.random_state = width, inner, random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in ("width", "inner", "random_state")}
        if deep and isinstance(self.inner, Estimator):
            found |= {f"inner__{key}": value for key, value in self.inner.get_params().items()}
        return found

    def set_params(self, **parameters: Any) -> Estimator:
        for name, value in parameters.items():
            head, _, tail = name.partition("__")
            if tail:
                getattr(self, head).set_params(**{tail: value})
            else:
                setattr(self, head, value)
        return self

    def fit(self, X: NumpyArray, y: NumpyArray) -> Estimator:
        self.coef_ = X.T @ y
        return self


def test_an_instance_is_copied_deeply_even_if_it_is_callable() -> None:
    for source in (Plain(), CallableTrainer()):
        made = new_trainer(source)
        assert isinstance(made, type(source))
        assert made is not source
        made.seen.append(1)
        assert source.seen == []


def test_an_estimator_is_cloned_by_its_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sklearn.base", raising=False)
    source = Estimator(width=7, inner=Estimator(width=3)).fit(np.eye(2), np.ones(2))
    made = new_trainer(source)
    assert isinstance(made, Estimator)
    assert (made.width, made.inner.width) == (7, 3)
    assert made.inner is not source.inner
    assert not hasattr(made, "coef_")
    assert "sklearn.base" not in sys.modules


def test_scikit_learn_clones_its_own() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is optional")
    pipelines = pytest.importorskip("sklearn.pipeline")
    source = linear_model.Ridge(alpha=2.5).fit(np.eye(3), np.ones(3))
    made: Any = new_trainer(source, 3)
    assert type(made) is linear_model.Ridge
    assert (made.alpha, made.random_state) == (2.5, 3)
    assert not hasattr(made, "coef_")
    pipeline: Any = new_trainer(pipelines.make_pipeline(linear_model.SGDRegressor()), 11)
    assert pipeline.get_params()["sgdregressor__random_state"] == 11


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Nothing", "Nothing is no trainer: expected"),
        ("NeedsArguments", "NeedsArguments() raised TypeError"),
    ],
)
def test_what_cannot_be_constructed_is_named(source: str, expected: str) -> None:
    assert expected in refusal("construct", new_trainer, load_source(f"stub_trainers:{source}"))


def test_instances_that_cannot_be_used_are_refused() -> None:
    locked = SimpleNamespace(fit=print, lock=threading.Lock())
    assert "copying the instance of SimpleNamespace" in refusal("construct", new_trainer, locked)
    assert "is no trainer" in refusal("construct", new_trainer, 3)
    assert "returned the class Plain" in refusal("construct", new_trainer, lambda: Plain)

    def leaves() -> None:
        sys.exit(2)

    assert "raised SystemExit: 2" in refusal("construct", new_trainer, leaves)


def test_random_state_is_set_where_it_exists() -> None:
    made: Any = new_trainer(load_source("stub_trainers:Scripted"), 5)
    assert made.random_state == 5
    assert not hasattr(new_trainer(Plain, 5), "random_state")
    estimator: Any = new_trainer(Estimator, 5)
    assert estimator.random_state == 5
    assert new_trainer(Estimator(random_state=8)).random_state == 8  # type: ignore[attr-defined]


def test_nested_estimators_get_different_seeds() -> None:
    first, again = (new_trainer(Estimator(inner=Estimator()), 5) for _ in range(2))
    assert isinstance(first, Estimator)
    assert isinstance(again, Estimator)
    assert first.random_state != first.inner.random_state
    assert first.get_params()["inner__random_state"] == again.inner.random_state


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    with pytest.raises(InputError, match="random_state="):
        new_trainer(Plain, seed)


# --- describe -------------------------------------------------------------------------


def test_describe_and_its_json() -> None:
    found = describe(new_trainer(load_source("stub_trainers:Scripted")))
    assert found.methods == frozenset(SIGNATURES)
    assert found.activations is not None
    assert found.activations[0] == "square"
    assert (found.losses, found.dtypes) == (("squared",), ("float32", "float64"))
    assert found.sets_random_state
    assert Capabilities.from_json(json.loads(json.dumps(found.to_json()))) == found
    bare = describe(new_trainer(Plain))
    assert bare == Capabilities(frozenset({"predict"}))
    assert Capabilities.from_json(bare.to_json()) == bare


@pytest.mark.parametrize("losses", ["squared", ["squared", 3], 7, {"squared": 1}])
def test_malformed_declarations_are_refused(losses: Any) -> None:
    trainer = SimpleNamespace(predict=print, losses=losses)
    assert "losses of SimpleNamespace" in refusal("construct", describe, trainer)


@pytest.mark.parametrize("change", [{"methods": ["fly"]}, {"losses": 3}, {"methods": "fit"}])
def test_malformed_json_is_refused(change: dict[str, Any]) -> None:
    data = Capabilities(frozenset({"fit"})).to_json()
    with pytest.raises(InputError):
        Capabilities.from_json({**data, **change})
    with pytest.raises(InputError, match="dtypes"):
        Capabilities.from_json({key: data[key] for key in data if key != "dtypes"})


# --- call -----------------------------------------------------------------------------


def test_arrays_go_by_position_and_options_by_keyword() -> None:
    seen: list[Any] = []

    def trajectory(*positional: Any, **keywords: Any) -> NumpyArray:
        seen.extend([positional, keywords])
        return np.zeros((4, M, D))

    trainer = SimpleNamespace(trajectory=trajectory)
    given = arrays("b", "a", "W0", "y", "X")
    options = {"steps": np.int64(3), **PHYSICS, "eta": np.float32(0.5)}
    result = call(trainer, "trajectory", given, options)
    assert result is not None
    assert result.shape == (4, M, D)
    for got, name in zip(seen[0], ("W0", "a", "b", "X", "y"), strict=True):
        np.testing.assert_array_equal(got, given[name])
    assert seen[1] == {"steps": 3, **PHYSICS}
    assert [type(seen[1][name]) for name in ("steps", "eta")] == [int, float]


def test_a_trainer_that_works_in_place_changes_no_other_array() -> None:
    trainer = new_trainer(load_source("stub_trainers:Scripted"))
    given = arrays(*SIGNATURES["step"].arrays)
    given["X"] = np.asfortranarray(given["X"])
    given["y"].setflags(write=False)  # the trainer's copies are writable nevertheless
    before = {name: array.copy() for name, array in given.items()}
    result = call(trainer, "step", given, PHYSICS | {"activation": "mutate"})
    np.testing.assert_array_equal(result, -np.ones((M, D)))
    for name, array in given.items():
        np.testing.assert_array_equal(array, before[name])


def test_arrays_arrive_private_contiguous_and_writable() -> None:
    def step(*given: NumpyArray, **options: Any) -> NumpyArray:
        assert all(array.flags.c_contiguous and array.flags.writeable for array in given)
        assert all(array.flags.owndata for array in given)
        return given[0]

    given = arrays(*SIGNATURES["step"].arrays)
    given["X"] = given["X"][::-1]
    assert call(SimpleNamespace(step=step), "step", given, PHYSICS) is not given["W"]


def test_a_result_is_not_the_buffer_of_the_trainer() -> None:
    buffer = np.ones((M, D))
    result = call_step(buffer)
    buffer[...] = 2
    np.testing.assert_array_equal(result, np.ones((M, D)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.ones((M, D), np.float16), np.float32),
        (np.ones((M, D), np.float32), np.float32),
        (np.ones((D, M), np.float64).T, np.float64),
        (np.ones((M, D), np.longdouble), np.float64),
        (np.ones((M, D), ">f8"), np.float64),
        (np.ones((M, D), np.uint8), np.float64),
        ([[1] * D] * M, np.float64),
    ],
)
def test_numbers_of_any_kind_are_taken(given: Any, expected: Any) -> None:
    result = call_step(given)
    assert result.dtype == expected
    assert result.dtype.isnative
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, np.ones((M, D)))


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones((M, D), requires_grad=True)
    assert call_step(tensor * 1).dtype == np.float32
    assert call_step(tensor.double()).dtype == np.float64
    assert call_step(tensor.bfloat16()).dtype == np.float32
    assert call_step([row * 2 for row in tensor])[0, 0] == 2
    assert "step() returned Tensor" in refusal("dtype", call_step, tensor.to_sparse())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "step() returned NoneType, expected real numbers"),
        (np.ones((M, D), complex), "dtype complex128"),
        (np.ones((M, D), bool), "dtype bool"),
        (np.full((M, D), "1"), "dtype <U1"),
        (np.full((M, D), None), "returned ndarray, expected real numbers"),
        ([[1.0], [1.0, 2.0]], "returned list, no array"),
        ((row for row in np.ones((M, D))), "returned generator"),
    ],
)
def test_what_holds_no_real_numbers_is_refused(given: Any, expected: str) -> None:
    assert expected in refusal("dtype", call_step, given)


def test_wrong_shapes_are_refused() -> None:
    message = refusal("shape", call_step, np.ones((D, M)))
    assert message == f"step() returned an array of shape {(D, M)}, expected {(M, D)}"
    assert "shape ()" in refusal("shape", call_step, 3.0)


def test_predictions_may_be_a_column() -> None:
    def predict(result: NumpyArray) -> NumpyArray | None:
        trainer = SimpleNamespace(predict=lambda X: result)
        return call(trainer, "predict", arrays("X"), {})

    for shape in ((N,), (N, 1)):
        result = predict(np.arange(float(N)).reshape(shape))
        np.testing.assert_array_equal(result, np.arange(N))
    for wrong in (np.zeros((1, N)), np.zeros((N, 2)), np.zeros((N, 1, 1)), np.zeros(N + 1)):
        assert f"expected ({N},)" in refusal("shape", predict, wrong)


def test_fit_returns_nothing() -> None:
    trainer = new_trainer(load_source("stub_trainers:Scripted"))
    assert call(trainer, "fit", arrays("X", "y"), {}) is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_named(value: float) -> None:
    path = np.zeros((3, M, D))
    path[1, 2, 0] = path[2, 0, 0] = value
    trainer = SimpleNamespace(trajectory=lambda *arrays, **options: path)
    given = arrays(*SIGNATURES["trajectory"].arrays)
    message = refusal("non-finite", call, trainer, "trajectory", given, {"steps": 2, **PHYSICS})
    assert f"returned {value} at step 1, neuron 2, coordinate 0 (2 of 36" in message


def test_a_long_double_beyond_float64_is_not_finite() -> None:
    largest = np.finfo(np.longdouble).max
    if largest == np.finfo(np.float64).max:
        pytest.skip("long double is float64 on this machine")
    assert "inf at neuron 0" in refusal("non-finite", call_step, np.full((M, D), largest))


@pytest.mark.parametrize(
    ("cue", "expected"),
    [
        ("raise", "step() raised ValueError: eta=0.5 is too large"),
        ("sys-exit", "step() raised SystemExit: enough"),
    ],
)
def test_exceptions_are_reported_on_one_line(cue: str, expected: str) -> None:
    trainer = new_trainer(load_source("stub_trainers:Scripted"))
    given = arrays(*SIGNATURES["step"].arrays)
    message = refusal("raised", call, trainer, "step", given, {**PHYSICS, "activation": cue})
    assert re.fullmatch(rf"{re.escape(expected)} \(.*stub_trainers\.py:\d+, in \S+\)", message)


def test_keyboard_interrupts_pass() -> None:
    trainer = new_trainer(load_source("stub_trainers:Scripted"))
    given = arrays(*SIGNATURES["step"].arrays)
    with pytest.raises(KeyboardInterrupt):
        call(trainer, "step", given, {**PHYSICS, "activation": "interrupt"})


def test_exceptions_with_broken_messages_are_reported() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def fit(X: NumpyArray, y: NumpyArray) -> None:
        raise BrokenError

    trainer = SimpleNamespace(fit=fit)
    message = refusal("raised", call, trainer, "fit", arrays("X", "y"), {})
    assert message.startswith("fit() raised BrokenError (")


@pytest.mark.parametrize(
    ("method", "names", "options", "expected"),
    [
        ("fly", "X", {}, "method='fly'"),
        ("predict", "Xy", {}, "arrays="),
        ("fit", "X", {}, "arrays="),
        ("predict", "X", {"eta": 1.0}, "options="),
        ("fit", "Xy", {}, "does not offer it"),
    ],
)
def test_calls_that_do_not_fit_the_signature_are_input_errors(
    method: str, names: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        call(Plain(), method, arrays(*names), options)


# --- InProcessTrainer -----------------------------------------------------------------


def test_in_process_handle() -> None:
    handle: TrainerHandle = InProcessTrainer(load_source("stub_trainers:Scripted"))
    with handle as same:
        assert same is handle
        assert handle.name == "Scripted"
        assert handle.capabilities.methods == frozenset(SIGNATURES)
        given = arrays(*SIGNATURES["step"].arrays)
        result = handle.call("step", given, PHYSICS)
        np.testing.assert_array_equal(result, given["W"] / 2)
        handle.fresh(9)
        facts = handle.call("predict", arrays("X"), {})
        assert facts is not None
        assert list(facts[:2]) == [9, 0]
    handle.close()
    with pytest.raises(InputError, match="closed"):
        handle.fresh(None)
    with pytest.raises(InputError, match="closed"):
        handle.call("step", given, PHYSICS)


def test_every_example_has_a_new_trainer() -> None:
    source = Plain()
    with InProcessTrainer(source, name="mine") as handle:
        assert handle.name == "mine"
        for expected in (1, 2):
            assert handle.call("predict", arrays("X"), {})[0] == expected  # type: ignore[index]
        handle.fresh(None)
        assert handle.call("predict", arrays("X"), {})[0] == 1  # type: ignore[index]
    assert source.seen == []


def test_no_call_reaches_the_trainer_of_an_earlier_example() -> None:
    made: list[Plain] = []

    def fails_once() -> Plain:
        if len(made) == 1:
            made.append(Plain())
            raise OSError("busy")
        made.append(Plain())
        return made[-1]

    with InProcessTrainer(fails_once) as handle:
        assert "raised OSError: busy" in refusal("construct", handle.fresh, None)
        handle.call("predict", arrays("X"), {})
    assert [trainer.seen for trainer in made] == [[], [], [N]]


def test_signatures_match_the_stub() -> None:
    stub: Any = load_source("stub_trainers:Scripted")
    for method, signature in SIGNATURES.items():
        parameters = list(inspect.signature(getattr(stub, method)).parameters)[1:]
        assert parameters == [*signature.arrays, *signature.options]


# -- former names ------------------------------------------------------------------------------


class OldName:
    def features(
        self, X: Any, y: Any, W0: Any, a: Any, b: Any, *, steps: int, **options: Any
    ) -> Any:
        raise NotImplementedError


class OldNameOpenly:
    def step(self, W: Any, a: Any, b: Any, X: Any, y: Any, **options: Any) -> Any:
        raise NotImplementedError

    def features(self, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError


class OldOrder:
    """The new name, with the arrays as they came before."""

    def trajectory(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        raise NotImplementedError


class BothNames(OldName):
    def trajectory(self, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError


class AnothersFeatures:
    """A method of this name that is none of ours, beside what ours needs."""

    def features(self, X: Any) -> Any:
        return X

    def fit(self, X: Any, y: Any) -> None: ...

    def predict(self, X: Any) -> Any: ...


@pytest.mark.parametrize("trainer", [OldName, OldNameOpenly])
def test_a_method_by_its_former_name_is_refused_with_the_new_one(trainer: type) -> None:
    with pytest.raises(TrainerError, match=r"features\(\) is called trajectory\(W0, a, b, X, y,"):
        InProcessTrainer(trainer)


def test_the_former_order_of_arrays_is_refused() -> None:
    """They go by position: weights would be taken for inputs."""
    with pytest.raises(TrainerError, match=r"expected trajectory\(W0, a, b, X, y,"):
        InProcessTrainer(OldOrder)


class NotYet(AnothersFeatures):
    """An attribute that cannot be read before `fit`."""

    @property
    def features(self) -> Any:
        raise RuntimeError("call fit first")


class Selects(AnothersFeatures):
    def features(self, X: Any, **options: Any) -> Any:
        return X


@pytest.mark.parametrize(
    ("trainer", "methods"),
    [
        (NotYet, {"fit", "predict"}),
        (Selects, {"fit", "predict"}),
        (BothNames, {"trajectory"}),
        (AnothersFeatures, {"fit", "predict"}),
        (type("Attribute", (AnothersFeatures,), {"features": ["a", "b"]}), {"fit", "predict"}),
    ],
)
def test_what_only_shares_a_former_name_is_not_refused(trainer: type, methods: set[str]) -> None:
    assert InProcessTrainer(trainer).capabilities.methods == methods


def test_a_call_by_a_former_name_says_the_new_one() -> None:
    trainer = LayerwiseTrainer()
    for owner in (trainer, TrainerUnderTrial(InProcessTrainer(trainer))):
        with pytest.raises(AttributeError, match=r"features\(\) is called trajectory\("):
            getattr(owner, "features")  # noqa: B009 - a type checker knows that there is none
