"""Fixtures shared by the tests of several packages, and the check of shapes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shape_checker

shape_checker.install()  # before anything of mimverify is imported

from browser import Browser, missing  # noqa: E402
from mimverify.backends import BACKENDS, REQUIRED_BACKENDS, backend_class  # noqa: E402
from mimverify.support.threads import thread_limit  # noqa: E402

Array = NDArray[np.float64]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The tests' arrays are small: more threads would only wait for one another, in busy loops
    where other processes share the cores. Processes that the tests start inherit it."""
    with thread_limit(1):
        yield


@pytest.fixture(autouse=True)
def _no_kept_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that an earlier run kept on disk decides a test; nor in processes it starts."""
    monkeypatch.setenv("MIMVERIFY_CACHE", "off")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium, to look at pages with; skips where there is none."""
    reason = missing()
    if reason:
        pytest.skip(f"pages are not opened: {reason}")
    started = Browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.close()


@pytest.fixture(params=REQUIRED_BACKENDS)
def library(request: pytest.FixtureRequest) -> str:
    """The name of each backend that needs no extra."""
    return str(request.param)


@pytest.fixture(params=BACKENDS)
def any_library(request: pytest.FixtureRequest) -> str:
    """The name of each backend; for few tests, since some compile for every shape."""
    missing = backend_class(request.param).missing()
    if missing is not None:
        pytest.skip(f"{request.param} {missing}")
    return str(request.param)


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    """The name of each dtype."""
    return str(request.param)


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module that only this test can import, and returns its name."""

    def write(source: str) -> str:
        name = f"user_module_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


@pytest.fixture(scope="session")
def textbook_objective() -> Callable[..., Any]:
    """L(W) of the network of theory.md §1 in Torch's own functions, to be differentiated.

    Called with float64 tensors and arrays; `offset` o subtracts o·f, whose derivative is o.
    """
    import torch
    from torch.nn import functional

    sigma: dict[str, Callable[[Any], Any]] = {
        "log-cosh": lambda z: torch.log(torch.cosh(z)),
        "quadratic": lambda z: z.square() / 2,
        "pseudo-huber": lambda z: torch.sqrt(1 + z.square()) - 1,
        "relu": functional.relu,
        "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),
        "gelu": functional.gelu,
        "tanh": torch.tanh,
        "softplus-centred": lambda z: torch.logaddexp(z / 2, -z / 2) - np.log(2),
        "gelu-centred": lambda z: functional.gelu(z) - z / 2,
        "exp-centred": lambda z: torch.exp(z) - 1 - z,
    }
    losses: dict[str, Callable[[Any], Any]] = {
        "squared": lambda u: u.square() / 2,
        "l1": torch.abs,
        "huber": lambda u: functional.huber_loss(u, torch.zeros_like(u), reduction="none"),
        "pseudo-huber": lambda u: torch.sqrt(1 + u.square()) - 1,
        "log-cosh": lambda u: torch.logaddexp(u, -u) - np.log(2),
    }

    def objective(
        W: Any, a: Any, b: Any, X: Any, y: Any, *,
        activation: str, loss: str, constant: float = 0.0, offset: float = 0.0, linear: Any = None,
    ) -> Any:  # fmt: skip
        a, b, X, y = (torch.as_tensor(v, dtype=torch.float64) for v in (a, b, X, y))
        output = sigma[activation](X @ W.T + b) @ a + constant
        if linear is not None:
            output = output + X @ torch.as_tensor(linear, dtype=torch.float64)
        return (losses[loss](output - y) - offset * output).mean()

    return objective


@pytest.fixture(scope="session")
def autograd_gradient(textbook_objective: Callable[..., Any]) -> Callable[..., Array]:
    """∇_W L by automatic differentiation of `textbook_objective`, float64 `(m, d)`."""
    import torch

    def gradient(W: Any, *arrays: Any, **options: Any) -> Array:
        W = torch.as_tensor(W, dtype=torch.float64).clone().requires_grad_()
        (result,) = torch.autograd.grad(textbook_objective(W, *arrays, **options), W)
        return np.asarray(result.numpy())

    return gradient


@pytest.fixture(scope="session")
def gradient_rounding() -> Callable[..., Array]:
    """Entrywise bound `(m, d)` on the difference of two correct gradients, `dtype` the coarser.

    First order in u: with k = n + d + m + 20 operations behind any entry (Higham's γ_k), the output
    errs by k u Σ of its absolute terms, functions by k u max(1, |value|) as for naive formulas, and
    l' and σ' pass errors of their arguments on with their slopes (sup l'' ≤ 1). Twice, for two.
    """
    from mimverify.network import get_activation, get_loss

    def bound(
        W: Any, a: Any, b: Any, X: Any, y: Any, *,
        activation: str, loss: str, constant: float = 0.0, offset: float = 0.0, linear: Any = None,
        dtype: str = "float64",
    ) -> Array:  # fmt: skip
        W, a, b, X, y = (np.asarray(v, dtype=np.float64) for v in (W, a, b, X, y))
        linear = np.zeros(X.shape[1]) if linear is None else np.asarray(linear, dtype=np.float64)
        sigma = get_activation(activation)
        P, P_abs = X @ W.T + b, np.abs(X) @ np.abs(W).T + np.abs(b)
        value, first, second = (np.abs(f(P)) for f in (sigma.value, sigma.first, sigma.second))
        output = sigma.value(P) @ a + constant + X @ linear
        slope = np.abs(get_loss(loss).derivative(output, y) - offset)[:, None]
        terms = (np.maximum(1, value) + first * P_abs) @ np.abs(a)
        terms = terms + abs(constant) + np.abs(X) @ np.abs(linear) + np.abs(y) + abs(offset)
        residual = (terms[:, None] + slope) * first + slope * (
            2 * np.maximum(1, first) + second * P_abs
        )
        operations = sum(X.shape) + len(a) + 20
        u = float(np.finfo(dtype).eps) / 2
        terms_of_sum = np.abs(a)[:, None] * (residual.T @ np.abs(X)) / len(y)
        return np.asarray(2 * operations * u * terms_of_sum)

    return bound
