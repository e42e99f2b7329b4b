"""Tests of mirrored pairs: half of the neurons determine all (theory.md E1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mimverify.backends import get_backend
from mimverify.designs import Design, StoredDesign
from mimverify.network import get_activation, get_loss, symmetric_start
from mimverify.training import LayerwiseTrainer, Objective, first_layer_gradient, gradient
from mimverify.training.symmetry import mirror_sign

N, D, M = 300, 12, 8


class Counting(StoredDesign):
    """Records how many directions each pass had."""

    def __init__(self, X: Any, backend: Any) -> None:
        super().__init__(X, backend)
        self.directions: list[int] = []

    def one_pass(self, V: Any, rho: Any) -> Any:
        self.directions.append(len(V))
        return super().one_pass(V, rho)


def mirrored(sign: int, backend: Any) -> tuple[Any, Any, Any]:
    start = symmetric_start(M, D, np.random.default_rng(1), norm=1.0)
    W = start.W.copy()
    W[M // 2 :] *= sign
    return backend.asarray(W), backend.asarray(start.a), backend.asarray(start.b)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("activation", ["log-cosh", "quadratic", "gelu-centred"])
@pytest.mark.parametrize("linear", [False, True])
def test_half_the_pass_gives_the_whole_gradient(
    sign: int,
    activation: str,
    linear: bool,
    library: str,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the same code without the shortcut; entries are sums of N terms of size 1/N."""
    rng = np.random.default_rng(3)
    backend = get_backend(library, dtype)
    design = Counting(rng.standard_normal((N, D)), backend)
    theta = backend.asarray(rng.standard_normal(D)) if linear else None
    objective = Objective(
        get_loss("huber"), backend.asarray(rng.standard_normal(N)), 0.1, 0.02, theta
    )
    W, a, b = mirrored(sign, backend)
    sigma = get_activation(activation)
    assert mirror_sign(W, a, b, sigma) == sign
    halved = backend.to_numpy(first_layer_gradient(design, objective, W, a, b, sigma))
    monkeypatch.setattr(gradient, "mirror_sign", lambda *_: None)
    whole = backend.to_numpy(first_layer_gradient(design, objective, W, a, b, sigma))
    assert design.directions == [M // 2 + linear, M + linear]
    np.testing.assert_allclose(
        halved, whole, rtol=0, atol=8 * np.sqrt(N) * backend.unit_roundoff * np.abs(whole).max()
    )
    np.testing.assert_array_equal(halved[M // 2 :], -sign * halved[: M // 2])


@pytest.mark.parametrize(
    "changed", ["weight", "output", "bias", "sign of one", "activation", "odd"]
)
def test_other_networks_are_not_taken_for_pairs(changed: str, library: str) -> None:
    backend = get_backend(library, "float64")
    W, a, b = mirrored(1, backend)
    activation = "log-cosh"
    if changed == "weight":
        W[M - 1, D - 1] *= 1 + 1e-15
    elif changed == "output":
        a[0] *= 1 + 1e-15
    elif changed == "bias":
        b[0] = 1e-300
    elif changed == "sign of one":
        W[M - 1] *= -1
    elif changed == "activation":
        activation = "softplus"
    else:
        W, a, b = W[1:], a[1:], b[1:]
    assert mirror_sign(W, a, b, get_activation(activation)) is None


def test_pairs_stay_pairs(library: str, dtype: str) -> None:
    """E1 to the last bit: w_{j+m/2} = (−1)^t w_j, and every pass has half of the neurons."""
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((N, D)), rng.standard_normal(N)
    design = Counting(X, get_backend(library, dtype))
    seen: list[np.ndarray[Any, Any]] = []
    trainer = LayerwiseTrainer(neurons=M, steps=5)
    trainer.fit_first_layer(design, y, observe=lambda _, W: seen.append(design.backend.to_numpy(W)))
    assert design.directions == [M // 2] * 5
    for t, W in enumerate(seen):
        np.testing.assert_array_equal(W[M // 2 :], (-1) ** t * W[: M // 2])


def test_a_design_may_be_trained_on_directly(library: str) -> None:
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((N, D)), rng.standard_normal(N)
    design: Design = StoredDesign(X, get_backend(library, "float64"))
    by_array = LayerwiseTrainer(backend=library, steps=3).fit_first_layer(X, y).fit_readout(X, y)
    by_design = LayerwiseTrainer(steps=3).fit_first_layer(design, y).fit_readout(design, y)
    np.testing.assert_array_equal(by_array.network_.W, by_design.network_.W)
    np.testing.assert_array_equal(by_array.predict(X), by_design.predict(X))
