"""What every backend has to do, whatever it is made of; few shapes, since some compile for each."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import mimverify
from mimverify import LayerwiseTrainer, MultiIndexModel
from mimverify.backends import (
    BACKEND_MODULES,
    BACKENDS,
    BACKENDS_WITH_DEVICES,
    REQUIRED_BACKENDS,
    Backend,
    backend_class,
    get_backend,
)
from mimverify.support.errors import InputError
from mimverify.trial import accumulate, exact_trajectory

M, D, N = 8, 6, 150


def network(dtype: str) -> tuple[np.ndarray, ...]:
    """W, a, b, X, y without any structure."""
    rng = np.random.default_rng(4)
    shapes = ((M, D), (M,), (M,), (N, D), (N,))
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


@pytest.mark.parametrize(("activation", "loss"), [("log-cosh", "huber"), ("gelu", "squared")])
def test_its_trajectory_is_the_oracles(
    activation: str, loss: str, any_library: str, dtype: str
) -> None:
    arrays = network(dtype)
    options: dict[str, Any] = {"eta": 0.3, "beta": 0.1, "activation": activation, "loss": loss}
    found = LayerwiseTrainer(backend=any_library).trajectory(*arrays, steps=3, **options)
    assert found.dtype == dtype
    exact = exact_trajectory(*arrays, steps=3, **options)
    radius = accumulate(exact, *arrays[1:], dtype=dtype, **options)
    distance = np.linalg.norm(found.astype(float) - exact, axis=(1, 2))
    assert (distance <= radius).all()
    moved = np.linalg.norm(exact[1:] - exact[:-1], axis=(1, 2))
    assert (moved > 100 * radius[1:]).all()  # or the comparison would be void


def test_it_learns(any_library: str) -> None:
    data = MultiIndexModel("cos2z", 12, seed=1).sample(1500)
    trainer = LayerwiseTrainer(backend=any_library, neurons=8, steps=4, readout_neurons=32)
    usual = LayerwiseTrainer(neurons=8, steps=4, readout_neurons=32)
    found, expected = (each.fit(data.X, data.y).predict(data.X) for each in (trainer, usual))
    np.testing.assert_allclose(found, expected, atol=1e-8 * np.abs(expected).max())
    assert np.mean((found - data.y) ** 2) < 0.5 * np.var(data.y)


# -- what they say of themselves ---------------------------------------------------------------


@pytest.mark.parametrize("name", BACKENDS)
def test_it_says_what_it_needs(name: str) -> None:
    kind = backend_class(name)
    assert issubclass(kind, Backend)
    assert not inspect.isabstract(kind)
    assert kind.name == name
    assert kind.title
    assert set(kind.modules) <= set(BACKEND_MODULES)
    assert (name in REQUIRED_BACKENDS) == (not kind.extra)
    assert (name in BACKENDS_WITH_DEVICES) == kind.takes_devices


def test_those_that_need_no_extra_come_first() -> None:
    others = sorted(set(BACKENDS) - set(REQUIRED_BACKENDS))
    assert list(BACKENDS) == [*sorted(REQUIRED_BACKENDS), *others]


def test_extras_are_those_of_the_project() -> None:
    """Of what is installed: an extra that does not exist would be no help."""
    from importlib.metadata import metadata

    offered = set(metadata("mimverify").get_all("Provides-Extra") or ())
    assert {backend_class(name).extra for name in BACKENDS} - {""} <= offered


def test_no_library_is_imported_for_its_name() -> None:
    program = (
        "import sys\n"
        "from mimverify.backends import BACKEND_MODULES, BACKENDS, backend_class\n"
        "[backend_class(name).missing() for name in BACKENDS]\n"
        "assert not set(BACKEND_MODULES) - {'numpy'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BACKENDS:
        kind = backend_class(name)
        monkeypatch.setattr(kind, "modules", ("no_such_library",))
        monkeypatch.setattr(kind, "extra", "some")
        expected = rf"backend={name!r}: needs no_such_library \(pip install 'mimverify\[some\]'\)"
        with pytest.raises(InputError, match=expected):
            get_backend(name, "float64")
        with pytest.raises(InputError, match=expected):
            LayerwiseTrainer(backend=name).fit(np.eye(8), np.arange(8.0))


@pytest.mark.parametrize("name", BACKENDS)
def test_its_trainer_is_a_function_of_the_package(name: str) -> None:
    make = getattr(mimverify, f"{name}_trainer")
    assert pickle.loads(pickle.dumps(make)) is make
    if backend_class(name).missing() is None:
        trainer = make(steps=2)
        assert (trainer.backend, trainer.steps) == (name, 2)
    else:
        with pytest.raises(InputError, match=f"backend={name!r}: needs"):
            make()


def test_no_other_trainer_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'cupy_trainer'"):
        mimverify.cupy_trainer  # noqa: B018
