"""What the first layer that a fitted trainer shows says about its stage 1.

From the symmetric start, with weight decay that cancels the old weights, stage 1 is power iteration
(theory.md E2): the rows of W are H^t w for isotropic w, so that their directions are a sample of
the angular Gaussian law of the matrix H^2t. Its likelihood tells how many steps were taken, with
which loss, and whether the labels were centred for it, of known rows: W alone is known, neither
start nor learning rate. A cause is named only if the rows are as likely under it as rows drawn from
its law are, and far likelier than under stage 1 as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network import DEFAULT_LOSS, LOSSES, get_loss
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.threads import single_threaded_libraries
from mimverify.training import default_steps, fit_constant
from mimverify.trial.reference.oracle import ORACLE_LOSSES, label_covariance

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["FirstLayerCause", "cause_of_first_layer"]

# The default first. H is the oracle's.
_LOSSES = tuple(name for name in dict.fromkeys((DEFAULT_LOSS, *LOSSES)) if name in ORACLE_LOSSES)
_MORE_STEPS = 4  # than T1, that are still recognised
# Amplitudes below this fraction of the largest are not those of power iteration but of the
# activation's next term (theory.md E3) and of float32. With a start of norm 1e-2 the number of
# steps is found from 1e-4 down; from 1e-3 up four steps look like three.
_FLOOR = 1e-5
_MIRRORED = 1e-3  # 1 − |cos| of two rows that are one up to sign and the activation's next term
_HIDES = 0.1  # E T from which on it matters, relative to the eigenvalues beside which it stands
_DRAWS = 99  # of rows from a law, with whose likelihoods that of the rows is compared
_FAR = 10.0  # nats: e^10 times likelier


@dataclass(frozen=True)
class FirstLayerCause:
    """How a first layer was trained, as far as its rows tell.

    **Arguments**

    - `steps`: t; 0: the rows are isotropic, as at the start.
    - `enough`: T1 of the rows.
    - `loss`: "" where there were no steps.
    - `centred`: whether the labels were, for that loss.
    - `mean_transform`: E T of the labels as they are, relative to the largest eigenvalue, in
      modulus, of H with centred labels.
    """

    steps: int
    enough: int
    loss: str = ""
    centred: bool = True
    mean_transform: float = 0.0

    def __str__(self) -> str:
        if not self.steps:
            return "its rows are isotropic: it was not trained"
        if not self.centred and abs(self.mean_transform) > _HIDES:
            return (
                f"its rows are those of {self.steps} steps with labels not centred for the "
                f"{self.loss} loss: E T ≠ 0, and E[T] I, {abs(self.mean_transform):.2g} × as large "
                "as H without it, hides the signal"
            )
        if self.steps < self.enough:
            times = "step" if self.steps == 1 else "steps"
            return f"its rows are those of {self.steps} {times}, where T1 = {self.enough}"
        return ""


@dataclass(frozen=True)
class _Law:
    """The angular Gaussian law of H^2t, by eigenvectors `(d, d)` and variances `(d,)` of H^t w."""

    cause: FirstLayerCause
    vectors: Float64Array
    variances: Float64Array

    def likelihoods(self, rows: Float64[Float64Array, "k d"]) -> Float64[Float64Array, " k"]:
        """log density of the directions of these rows, up to a constant of d."""
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        squares = (rows @ self.vectors) ** 2 @ (1 / self.variances)
        return np.asarray(
            -(np.log(self.variances).sum() + len(self.variances) * np.log(squares)) / 2
        )

    def whitened(self, rows: Float64[Float64Array, "k d"]) -> float:
        """The largest part of one direction in these rows, made isotropic and of unit length."""
        isotropic = rows @ self.vectors / np.sqrt(self.variances)
        isotropic /= np.linalg.norm(isotropic, axis=1, keepdims=True)
        return float(np.linalg.norm(isotropic, 2))

    def fits(self, rows: Float64[Float64Array, "k d"]) -> bool:
        """Whether rows drawn from the law are as unlikely, and as unlike it in some direction."""
        rng = np.random.default_rng(0)
        k, d = rows.shape
        draws = rng.standard_normal((_DRAWS, k, d)) * np.sqrt(self.variances) @ self.vectors.T
        drawn = min(self.likelihoods(each).mean() for each in draws)
        rounding = 1e-9 * d  # of the isotropic law, under which all rows are as likely
        return bool(
            self.likelihoods(rows).mean() >= drawn - rounding
            and self.whitened(rows) <= max(self.whitened(each) for each in draws)
        )


def cause_of_first_layer(
    W: Float[FloatArray, "m d"], X: Float[FloatArray, "n d"], y: Float[FloatArray, " n"]
) -> FirstLayerCause | None:
    """How stage 1 was trained on these rows; None: as it should be, or in no way known here.

    **Arguments**

    - `W`: the first layer that is shown; rows of zeros are left out.
    - `X`, `y`: the rows of stage 1, n > d, and their labels as they were handed over.
    """
    rows = _independent(np.asarray(W, dtype=np.float64))
    if not len(rows):
        return None
    with single_threaded_libraries():  # too small for threads
        return _likeliest(rows, X.astype(np.float64), y.astype(np.float64))


def _likeliest(
    rows: Float64[Float64Array, "k d"], X: Float64Array, y: Float64Array
) -> FirstLayerCause | None:
    laws = list(_laws(X, y))
    scores = [float(law.likelihoods(rows).sum()) for law in laws]
    best = int(np.argmax(scores))
    found = laws[best].cause
    right = [
        score
        for law, score in zip(laws, scores, strict=True)
        if law.cause.centred and law.cause.steps >= law.cause.enough
    ]
    if not str(found) or scores[best] < max(right) + _FAR or not laws[best].fits(rows):
        return None
    return found


def _independent(W: Float64[Float64Array, "m d"]) -> Float64[Float64Array, "k d"]:
    """Rows that are not zero, of mirrored pairs one, without a linear part as the last row."""
    W = W[np.abs(W).max(axis=1) > 0]
    if not len(W):
        return W
    unit = W / np.linalg.norm(W, axis=1, keepdims=True)
    half = len(unit) // 2
    for end in (2 * half, len(unit)):
        cosines = np.abs(np.einsum("kd,kd->k", unit[:half], unit[half : 2 * half]))
        if end >= 2 and cosines.min(initial=1.0) > 1 - _MIRRORED:
            return np.asarray(unit[:half])
    return np.asarray(unit)


def _laws(X: Float64Array, y: Float64Array) -> Iterator[_Law]:
    """Of all causes that are known here."""
    n, d = X.shape
    enough = default_steps(n, d)
    yield _Law(FirstLayerCause(0, enough), np.eye(d), np.ones(d))
    for loss in _LOSSES:
        transform = -np.asarray(get_loss(loss).derivative(0 * y, y))
        constant = fit_constant(get_loss(loss), y).constant
        spectrum = np.linalg.eigh(label_covariance(X, y - constant, loss=loss))
        mean = float(transform.mean()) / float(np.abs(spectrum[0]).max())
        for centred in (True, False):
            if not centred:
                spectrum = np.linalg.eigh(label_covariance(X, y, loss=loss))
            values, vectors = spectrum
            sizes = np.abs(values) / np.abs(values).max()
            for t in range(1, enough + _MORE_STEPS + 1):
                variances = sizes ** (2 * t) + _FLOOR**2
                cause = FirstLayerCause(t, enough, loss, centred, mean)
                yield _Law(cause, vectors, variances)
