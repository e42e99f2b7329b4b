"""What trainers warn of and print, and where they raise: short, safe to show, never in the way."""

from __future__ import annotations

import textwrap
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.trainer_output import (
    LONGEST_TEXT,
    MOST_WARNINGS,
    TrainerOutput,
    last_lines,
)
from mimverify.support.errors import TrainerError

TIMEOUT = 60.0  # s; generous, for slow machines

SOURCE = """
    import os, sys, warnings
    import numpy as np
    import talkative_helper

    warnings.warn("old hardware", UserWarning)

    class Trainer:
        def fit(self, X, y):
            {what: getattr(self, what) for what in dir(self)}[WHAT[int(X[0, 0])]]()

        def predict(self, X):
            return np.zeros(len(X))

        def warns(self):
            for _ in range(3):
                warnings.warn("Using a target size\\nthat differs\\x1b[2J", UserWarning)
            warnings.warn("not for users", DeprecationWarning)

        def warns_often(self):
            for k in range(1000):
                warnings.warn(f"number {k} " + "x" * 5000, RuntimeWarning)

        def overflows(self):
            np.exp(np.full(3, 1e4))

        def prints(self):
            print("epoch 1\\repoch 2\\x1b[31m")
            os.write(1, b"from C\\n")
            print("to the other", file=sys.stderr)

        def prints_gigabytes(self):
            for descriptor in (1, 2):
                for _ in range(100):
                    os.write(descriptor, b"x" * (1 << 20))
            print("the end")

        def closes(self):
            for descriptor in (1, 2):
                os.close(descriptor)

        def hangs(self):
            print("epoch 7", flush=False)
            while True:
                pass

        def raises(self):
            talkative_helper.solve()

        def nothing(self):
            pass

    WHAT = ["nothing", "warns", "warns_often", "overflows", "prints", "prints_gigabytes", "closes",
            "hangs", "raises"]
"""
HELPER = """
    import numpy as np

    def solve():
        return np.linalg.solve(np.zeros((2, 2)), np.ones(2))
"""
WHAT = ("nothing", "warns", "warns_often", "overflows", "prints", "prints_gigabytes", "closes",
        "hangs", "raises")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("talkative")
    (path / "talkative.py").write_text(textwrap.dedent(SOURCE))
    (path / "talkative_helper.py").write_text(textwrap.dedent(HELPER))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        yield path


@pytest.fixture(scope="module")
def shared(folder: Path) -> Iterator[SpawnedTrainer]:
    with SpawnedTrainer("talkative:Trainer", time_limit=TIMEOUT) as spawned:
        yield spawned


@pytest.fixture
def handle(shared: SpawnedTrainer) -> SpawnedTrainer:
    shared.fresh(None)
    shared.take_output()
    return shared


def told(handle: TrainerHandle, what: str) -> TrainerOutput:
    """The output of a fit that does `what`."""
    X = np.full((3, 2), float(WHAT.index(what)))
    assert handle.call("fit", {"X": X, "y": np.zeros(3)}, {}) is None
    return handle.take_output()


def test_warnings_are_heard_with_their_place_and_number(
    handle: SpawnedTrainer, folder: Path
) -> None:
    output = told(handle, "warns")
    (warning,) = output.warnings  # what Python ignores by default stays ignored
    assert (warning.category, warning.times) == ("UserWarning", 3)
    assert warning.message == r"Using a target size that differs\x1b[2J"
    line = warning.place.removeprefix(f"{folder / 'talkative.py'}:")
    assert "Using a target size" in SOURCE.splitlines()[int(line) - 1]
    assert str(warning).endswith(f"({warning.place}, 3 ×)")
    assert not output.stderr  # heard once, not printed as well
    assert not told(handle, "nothing")
    (warning,) = told(handle, "overflows").warnings
    assert warning.category == "RuntimeWarning"


def test_torchs_warning_of_broadcasting_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broadcasts.py").write_text(
        textwrap.dedent("""
            import torch

            class Trainer:
                def fit(self, X, y):
                    torch.nn.functional.mse_loss(torch.as_tensor(X[:, :1]), torch.as_tensor(y))
        """)
    )
    monkeypatch.chdir(tmp_path)
    with SpawnedTrainer("broadcasts:Trainer", time_limit=TIMEOUT) as spawned:
        output = told(spawned, "nothing")
    (found,) = [one for one in output.warnings if "target size" in one.message]
    assert found.category == "UserWarning"
    assert found.place == "broadcasts.py:6"


def test_the_import_is_listened_to(folder: Path) -> None:
    with SpawnedTrainer("talkative:Trainer", time_limit=TIMEOUT) as spawned:
        assert [warning.message for warning in spawned.take_output().warnings] == ["old hardware"]


def test_many_long_warnings_are_counted_not_kept(handle: SpawnedTrainer) -> None:
    output = told(handle, "warns_often")
    assert len(output.warnings) == MOST_WARNINGS
    assert output.more_warnings == 1000 - MOST_WARNINGS
    assert max(len(warning.message) for warning in output.warnings) <= 300
    assert TrainerOutput.from_json(output.to_json()) == output
    both = output + told(handle, "warns_often")
    assert len(both.warnings) == MOST_WARNINGS
    assert both.warnings[0].times == 2
    assert both.more_warnings == 2 * output.more_warnings


def test_what_is_printed_is_kept_without_its_control_characters(handle: SpawnedTrainer) -> None:
    output = told(handle, "prints")
    assert output.stdout == "epoch 1\nepoch 2\\x1b[31m\nfrom C\n"
    assert output.stderr == "to the other\n"


def test_gigabytes_neither_block_nor_fill_the_memory(handle: SpawnedTrainer) -> None:
    tracemalloc.start()
    try:
        output = told(handle, "prints_gigabytes")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 21
    assert output.stdout.startswith("…")
    assert output.stdout.endswith("xthe end\n")
    assert len(output.stdout) <= LONGEST_TEXT + 2
    assert len(output.stderr) <= LONGEST_TEXT + 2


def test_closed_streams_harm_nothing(folder: Path) -> None:
    with SpawnedTrainer("talkative:Trainer", time_limit=TIMEOUT) as spawned:
        told(spawned, "closes")
        told(spawned, "warns")
        told(spawned, "nothing")


def test_a_hang_has_said_where(folder: Path) -> None:
    with SpawnedTrainer("talkative:Trainer", time_limit=0.5) as spawned:
        with pytest.raises(TrainerError, match="did not return"):
            told(spawned, "hangs")
        assert spawned.take_output().stdout == "epoch 7\n"


def test_exceptions_name_the_innermost_line_of_the_trainers_own_code(
    handle: SpawnedTrainer, folder: Path
) -> None:
    with pytest.raises(TrainerError) as caught:
        told(handle, "raises")
    line = next(k for k, text in enumerate(HELPER.splitlines(), 1) if "np.linalg" in text)
    place = f"({folder / 'talkative_helper.py'}:{line}, in solve)"
    assert str(caught.value) == f"fit() raised LinAlgError: Singular matrix {place}"
    assert caught.value.traceback.startswith("Traceback (most recent call last):\n")
    assert "in raises" in caught.value.traceback
    assert "handles" not in caught.value.traceback  # the frames that called the trainer
    assert caught.value.traceback.endswith("LinAlgError: Singular matrix\n")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import json\njson.loads('{')\n", r"broken\.py:2\)"),
        ("class Trainer:\n    def __init__(self):\n        1 / 0\n", r"broken\.py:3, in __init__"),
        ("class Trainer:\n    fit = property(lambda self: 1 / 0)\n", r"broken\.py:2, in <lambda>"),
        ("import a_module_that_is_missing\n", r"broken\.py:1\)"),
    ],
)
def test_what_fails_before_any_call_has_a_place_as_well(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrainerError, match=message) as caught:
        SpawnedTrainer("broken:Trainer", time_limit=TIMEOUT)
    assert "\n" not in str(caught.value)
    assert "broken.py" in caught.value.traceback


class Spoilt:
    """Raises wherever it is asked to."""

    def __init__(self, what: str) -> None:
        self.what = what

    def raise_if(self, what: str) -> None:
        if what == self.what:
            raise OSError("spoilt")

    def fit(self, X: Any, y: Any) -> None:
        self.raise_if("fit")

    def predict(self, X: Any) -> Any:
        return self

    def __array__(self, *_: Any, **__: Any) -> Any:
        self.raise_if("convert")
        return np.zeros(2)

    def __deepcopy__(self, memo: Any) -> Spoilt:
        self.raise_if("copy")
        return Spoilt(self.what)

    def set_params(self, **parameters: Any) -> None:
        self.raise_if("seed")

    @property
    def losses(self) -> tuple[str, ...]:
        self.raise_if("declare")
        return ("squared",)


class SpoiltEstimator(Spoilt):
    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"what": self.what, "random_state": 0} if deep else {"what": self.what}


@pytest.mark.parametrize("what", ["fit", "convert", "copy", "seed", "declare"])
def test_wherever_the_trainers_code_raises_the_line_is_named(what: str) -> None:
    source = SpoiltEstimator(what) if what == "seed" else Spoilt(what)

    def use() -> None:
        handle = InProcessTrainer(source)
        handle.fresh(3)
        handle.call("fit", {"X": np.ones((2, 2)), "y": np.ones(2)}, {})
        handle.call("predict", {"X": np.ones((2, 2))}, {})

    with pytest.raises(TrainerError) as caught:
        use()
    assert "test_trainer_output.py:" in str(caught.value)
    assert ", in raise_if)" in str(caught.value)
    assert "OSError: spoilt" in caught.value.traceback


def test_what_has_no_place_names_none() -> None:
    for spec in ("no_such_module_anywhere:Trainer", "json:no_such_attribute"):
        with pytest.raises(TrainerError) as caught:
            SpawnedTrainer(spec, time_limit=TIMEOUT)
        assert ".py" not in str(caught.value)


# -- in this process ---------------------------------------------------------------------------


def in_process(fit: Callable[..., None]) -> InProcessTrainer:
    return InProcessTrainer(lambda: SimpleNamespace(fit=fit))


def test_warnings_in_this_process_are_heard_and_shown_as_before() -> None:
    def fit(X: Any, y: Any) -> None:
        warnings.warn("shapes differ", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown, in_process(fit) as handle:
        warnings.simplefilter("always")
        show = warnings.showwarning
        handle.call("fit", {"X": np.ones((2, 2)), "y": np.ones(2)}, {})
        assert warnings.showwarning is show
        (warning,) = handle.take_output().warnings
        assert warning.message == "shapes differ"
        assert "test_trainer_output.py:" in warning.place
        assert [str(each.message) for each in shown] == ["shapes differ"]
        assert not handle.take_output()


# -- which source it was -----------------------------------------------------------------------


def test_the_hashes_of_a_trainers_files_change_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(
        "import other_own, numpy\nclass Trainer:\n    def fit(self, X, y): pass\n"
    )
    monkeypatch.chdir(tmp_path)
    found = []
    for text in ("x = 1\n", "x = 1\n", "x = 2\n"):
        (tmp_path / "other_own.py").write_text(text)
        with SpawnedTrainer("own:Trainer", time_limit=TIMEOUT) as spawned:
            found.append(spawned.source_hashes())
    assert set(found[0]) == {"own", "other_own"}  # not NumPy's, nor ours
    assert found[0] == found[1]
    assert found[0]["own"] == found[2]["own"]
    assert found[0]["other_own"] != found[2]["other_own"]


def test_in_this_process_the_trainers_own_package_alone_is_hashed() -> None:
    class Trainer:
        def fit(self, X: Any, y: Any) -> None: ...

    with InProcessTrainer(Trainer) as handle:
        found = set(handle.source_hashes())
    assert __name__ in found
    assert {name.partition(".")[0] for name in found} == {__name__.partition(".")[0]}


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", ""), ("a", "a\n"), ("a\n\tb\n", "a\n        b\n"), ("…a", "…a\n"), ("\x00", "\\x00\n")],
)
def test_the_last_lines_of_short_texts(text: str, shown: str) -> None:
    assert last_lines(text) == shown
    assert last_lines(shown) == shown


def test_the_last_lines_of_long_texts_are_no_longer_than_allowed() -> None:
    for letter in ("x", "\x1b", "\n", "\t", "é"):
        assert len(last_lines(letter * 10 * LONGEST_TEXT)) <= LONGEST_TEXT + 2
