"""Settings of NumPy, Torch and Python that a trainer changes: its own, and nobody else's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mimverify import LayerwiseTrainer, MultiIndexModel
from mimverify.backends import REQUIRED_BACKENDS
from mimverify.handles import InProcessTrainer
from mimverify.handles.library_settings import SETTINGS, apply_settings, read_settings
from mimverify.handles.methods import SIGNATURES

#: What a trainer may do to each of them.
CHANGES: dict[str, Callable[[], object]] = {
    "filters of warnings": lambda: warnings.simplefilter("error", BytesWarning),
    "NumPy's error state": lambda: np.seterr(all="raise"),
    "Torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "Torch's gradients": lambda: torch.set_grad_enabled(False),
    "Torch's default device": lambda: torch.set_default_device("meta"),
    "Torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "Torch's precision of float32 products": lambda: torch.set_float32_matmul_precision("medium"),
    "JAX's float64": lambda: update_jax("jax_enable_x64", True),
    "JAX's precision of products": lambda: update_jax(
        "jax_default_matmul_precision", "tensorfloat32"
    ),
}


def update_jax(option: str, value: object) -> None:
    jax = pytest.importorskip("jax", reason="JAX's settings need JAX: pip install jax")
    jax.config.update(option, value)


def there(name: str) -> bool:
    """Whether the setting's library is installed."""
    return importlib.util.find_spec(SETTINGS[name].library) is not None


@contextmanager
def kept() -> Iterator[dict[str, Any]]:
    """This process's settings, restored by other means than those under test."""
    before = read_settings()
    try:
        with warnings.catch_warnings(), np.errstate():
            yield before
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(False)
        torch.set_float32_matmul_precision("highest")
        if "jax" in sys.modules:
            update_jax("jax_enable_x64", False)
            update_jax("jax_default_matmul_precision", None)
    assert read_settings() == before


def step(trainer: InProcessTrainer) -> None:
    arrays = {name: np.ones((2, 2)) for name in SIGNATURES["step"].arrays}
    options = {"eta": 0.5, "beta": 0.1, "activation": "square", "loss": "squared"}
    trainer.call("step", arrays, options)


def test_each_setting_has_a_change() -> None:
    assert CHANGES.keys() == SETTINGS.keys()
    with kept() as before:
        for name in filter(there, CHANGES):
            CHANGES[name]()
        changed = read_settings()
        assert [name for name in filter(there, SETTINGS) if changed[name] == before[name]] == []


@pytest.mark.parametrize("name", list(SETTINGS))
@pytest.mark.parametrize("where", ["construction", "call"])
def test_a_trainer_keeps_its_own_and_the_caller_s_stay(name: str, where: str) -> None:
    seen = []

    class Trainer:
        def __init__(self) -> None:
            if where == "construction":
                CHANGES[name]()

        def step(self, W: Any, *arrays: Any, **options: Any) -> Any:
            seen.append(read_settings()[name])
            if where == "call":
                CHANGES[name]()
            return W

    with kept() as before:
        trainer = InProcessTrainer(Trainer)
        assert read_settings() == before
        for _ in range(3):
            step(trainer)
            assert read_settings() == before
        assert seen[0] == before[name] or where == "construction"
        assert seen[1] == seen[2] != before[name]


@pytest.mark.parametrize("name", list(SETTINGS))
def test_the_reference_does_not_depend_on_them(name: str) -> None:
    """But for a precision of products that the user has lowered."""
    dtype = "float64" if "precision" in name else "float32"
    data = MultiIndexModel("z1z2", 8, seed=0).sample(100, seed=1)

    def results() -> list[bytes]:
        found = []
        for backend in REQUIRED_BACKENDS:
            for options in ({"remove_linear_part": True}, {"readout": "gradient-descent"}):
                trainer = LayerwiseTrainer(
                    neurons=4, steps=2, readout_neurons=8, backend=backend, dtype=dtype,
                    **options,
                ).fit(data.X, data.y)  # fmt: skip
                found.append(np.asarray(trainer.predict(data.X)).tobytes())
        return found

    expected = results()
    with kept():
        CHANGES[name]()
        assert results() == expected


def test_torch_is_neither_imported_nor_missed() -> None:
    """A trainer that imports it, and changes it, leaves it as it is after its import."""
    code = """
        import sys
        from mimverify.handles import InProcessTrainer
        from mimverify.handles.library_settings import read_settings

        class Trainer:
            def __init__(self):
                import torch
                torch.set_default_dtype(torch.float64)

            def step(self, W, *arrays, **options):
                return W

        before = read_settings()
        assert "torch" not in sys.modules
        InProcessTrainer(Trainer)
        assert "torch" in sys.modules
        assert {**before, "filters of warnings": 0} == {**read_settings(), "filters of warnings": 0}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_does_not_differ_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    library = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "library_of_a_test", library)
    setting = type(SETTINGS["Torch's gradients"])
    one = setting("library_of_a_test", lambda _: 1, lambda _, value: written.append(value))
    monkeypatch.setitem(SETTINGS, "one", one)
    now = read_settings()
    apply_settings(now, now)
    apply_settings({"one": 2}, now)
    monkeypatch.setitem(sys.modules, "library_of_a_test", None)  # as where it cannot be imported
    apply_settings({"one": 3}, read_settings())
    assert written == [2]
