"""Broken trainers: each is the reference trainer with one thing wrong.

`BROKEN` says which claims must catch each of them, by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mimverify import LayerwiseTrainer, MultiIndexModel


class Correct(LayerwiseTrainer):
    """Nothing wrong: the control."""


class WrongSign(LayerwiseTrainer):
    """Gradient ascent: what follows the decay is added instead of subtracted."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        weights = [np.asarray(W0)]
        for _ in range(options["steps"]):
            down = super().features(X, y, weights[-1], a, b, **{**options, "steps": 1})[1]
            kept = (1 - options["eta"] * options["beta"]) * weights[-1]
            weights.append((2 * kept - down).astype(down.dtype))
        return np.array(weights)


class NoWeightDecay(LayerwiseTrainer):
    """Ignores β."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        return super().features(X, y, W0, a, b, **{**options, "beta": 0.0})


class OneStepOnly(LayerwiseTrainer):
    """Stops after the first step, in `features` and in `fit`; a single step is right."""

    def __init__(self, random_state: int = 0) -> None:
        super().__init__(steps=1, random_state=random_state)

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        steps = options["steps"]
        first = super().features(X, y, W0, a, b, **{**options, "steps": min(1, steps)})
        return np.concatenate([first, np.repeat(first[-1:], steps - len(first) + 1, axis=0)])


class BiasedGradient(LayerwiseTrainer):
    """A gradient that is one per cent too long."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        eta, beta = options["eta"], options["beta"]
        biased = {**options, "eta": 1.01 * eta, "beta": beta / 1.01}
        return super().features(X, y, W0, a, b, **biased)


class DropsTail(LayerwiseTrainer):
    """Works through blocks of 512 rows and forgets the last, partial one."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        whole = max(len(X) // 512, 1) * 512
        return super().features(X[:whole], y[:whole], W0, a, b, **options)


class HalvesTheRate(LayerwiseTrainer):
    """Halves the learning rate after every ten steps."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        weights = [np.asarray(W0)]
        for t in range(options["steps"]):
            rate = {"eta": options["eta"] * 0.5 ** (t // 10), "steps": 1}
            weights.append(super().features(X, y, weights[-1], a, b, **options | rate)[1])
        return np.array(weights)


class MirrorsAlways(LayerwiseTrainer):
    """Takes f ≡ 0 from any symmetric start, whatever activation, biases and weight decay."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        half = len(a) // 2
        if not np.array_equal(W0[:half], W0[half:]) or not np.array_equal(a[:half], -a[half:]):
            return super().features(X, y, W0, a, b, **options)
        weights = [np.asarray(W0)]
        for _ in range(options["steps"]):
            # Output weights of opposite sign on a copy of each neuron keep f at zero.
            W, twice = weights[-1], np.concatenate([weights[-1], weights[-1]])
            plain = super().features(
                X,
                y,
                twice,
                np.concatenate([a, -a]),
                np.concatenate([b, b]),
                **options | {"steps": 1},
            )
            weights.append(plain[1][: len(W)])
        return np.array(weights)


class ForgetsTheLastNeuron(LayerwiseTrainer):
    """Moves neurons in pairs; an odd one out stays where it is."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        weights = super().features(X, y, W0, a, b, **options)
        if len(a) % 2:
            weights[1:, -1] = weights[0, -1]
        return weights


class ClipsLabels(LayerwiseTrainer):
    """Clips labels at ±6 before training."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        return super().features(X, np.clip(y, -6, 6), W0, a, b, **options)


class NeedsMoreRowsThanColumns(LayerwiseTrainer):
    """Does nothing where n ≤ d."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        weights = super().features(X, y, W0, a, b, **options)
        if X.shape[0] <= X.shape[1]:
            weights[1:] = weights[0]
        return weights


def leaked_subspace(seed: int, dim: int, rank: int = 2) -> np.ndarray:
    """What a cheat finds out: how the suite draws U from the seed that it hands over."""
    link = {1: "cos2z", 2: "z1z2", 3: "sign-z1z2z3"}[rank]
    return MultiIndexModel(link, dim, seed=seed).subspace


class LeakedSubspace(LayerwiseTrainer):
    """Adds the true subspace, known from the seed, to the weights of its many-step runs."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        weights = super().features(X, y, W0, a, b, **options)
        U = leaked_subspace(self.random_state, weights.shape[2])
        size = np.linalg.norm(weights[1:], axis=2, keepdims=True)
        noise = np.random.default_rng(self.random_state).standard_normal((weights.shape[1], len(U)))
        weights[1:] += (size * (noise @ U)).astype(weights.dtype)
        return weights


class TrainsOnHalf(LayerwiseTrainer):
    """Looks at the first half of the rows only."""

    def features(self, X: Any, y: Any, W0: Any, a: Any, b: Any, **options: Any) -> Any:
        half = max(1, len(X) // 2)
        return super().features(X[:half], y[:half], W0, a, b, **options)


class LeakedFit(LayerwiseTrainer):
    """Trains its first layer honestly, then predicts from the true subspace."""

    def fit_first_layer(self, X: Any, y: Any, **options: Any) -> Any:
        super().fit_first_layer(X, y, **options)
        U = leaked_subspace(self.random_state, self.n_features_in_, rank=3)
        rng = np.random.default_rng(self.random_state)
        self.network_.W[:] = rng.standard_normal((len(self.network_.W), 3)) @ U
        return self


#: Broken trainer → claims of which each must fail it in the quick profile.
BROKEN: dict[type[LayerwiseTrainer], tuple[str, ...]] = {
    WrongSign: ("gradient-step", "trajectory", "power-iteration"),
    NoWeightDecay: (
        "gradient-step",
        "trajectory",
        "power-iteration",
        "antisymmetry",
        "predicted-trajectory",
    ),
    OneStepOnly: (
        "trajectory",
        "span-recovery",
        "one-step-error",
        "test-error-decay",
        "predicted-trajectory",
    ),
    BiasedGradient: ("gradient-step", "trajectory", "power-iteration"),
    LeakedSubspace: ("null-law", "one-step-odds", "trajectory", "predicted-trajectory"),
    TrainsOnHalf: ("gradient-step", "predicted-trajectory"),
    LeakedFit: ("unlearnable-link",),
    DropsTail: ("gradient-step", "trajectory"),
    HalvesTheRate: ("trajectory", "backends-agree"),
    MirrorsAlways: ("trajectory",),
    ForgetsTheLastNeuron: ("gradient-step",),
    ClipsLabels: ("gradient-step",),
    NeedsMoreRowsThanColumns: ("gradient-step",),
}
