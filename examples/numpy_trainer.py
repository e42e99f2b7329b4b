"""A complete trainer in thirty lines of NumPy, written from the theory alone.

It trains f(x) = Σ_j a_j σ(w_j·x + b_j) layer by layer on L = (1/n) Σ_i l(f(x_i), y_i). Nothing
is imported from mimverify: a trainer is an interface, not a class to inherit. To try it:

    mimverify check numpy_trainer:Trainer --profile quick
"""

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

# (σ, σ'): even, and quadratic near zero.
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "log-cosh": (lambda z: np.logaddexp(z, -z) - math.log(2), np.tanh),
    "pseudo-huber": (lambda z: np.hypot(1, z) - 1, lambda z: z / np.hypot(1, z)),
    "quadratic": (lambda z: z**2 / 2, lambda z: z),
}
# l' = ∂l/∂f as a function of f − y: squared is l = (f − y)²/2, Huber has delta = 1.
LOSSES: dict[str, Function] = {"squared": lambda u: u, "huber": lambda u: np.clip(u, -1, 1)}


class Trainer:
    activations = tuple(ACTIVATIONS)  # the trial uses only what is declared
    losses = tuple(LOSSES)
    random_state = 0  # the trial sets it: another seed for every fit

    # --- The first layer: any W, a, b, η, β ---

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        """W − η (∇_W L(W) + β W), on all rows of X."""
        sigma, slope = ACTIVATIONS[activation]
        P = X @ W.T + b
        T = -LOSSES[loss](sigma(P) @ a - y)  # T_i = −l'(f(x_i), y_i)
        descent = a[:, None] * ((T[:, None] * slope(P)).T @ X) / len(y)
        return W + eta * (descent - beta * W)

    def trajectory(self, W0, a, b, X, y, *, steps, **options):
        """W_0, W_1, …, W_steps."""
        weights = [W0]
        for _ in range(steps):
            weights.append(self.step(weights[-1], a, b, X, y, **options))
        return np.stack(weights)

    # --- The whole algorithm: stage 1 on the first half of the rows, stage 2 on the second ---

    def fit(self, X, y):
        rng = np.random.default_rng(self.random_state)
        n, d, m = len(X) // 2, X.shape[1], 128

        # Centring: the constant c with mean_i l'(c, y_i) = 0, by fixed-point iteration.
        c = y[:n].mean()
        for _ in range(100):
            c -= LOSSES["huber"](c - y[:n]).mean()

        # Symmetric start: w_j = w_{j+m/2} small, a_j = −a_{j+m/2}, b = 0; then f ≡ 0.
        W0 = np.tile(0.01 * rng.standard_normal((m // 2, d)), (2, 1))
        a = np.repeat([1.0, -1.0], m // 2)

        # β = 1/η, hence power iteration: w_j ← η a_j H w_j with H = (1/n) Σ_i T_i x_i x_iᵀ.
        options = {"eta": 1.0, "beta": 1.0, "activation": "quadratic", "loss": "huber"}
        steps = math.ceil(math.log(d) / math.log(n / d)) + 2
        W = self.trajectory(W0, a, np.zeros(m), X[:n], y[:n] - c, steps=steps, **options)[-1]

        # Stage 2: unit rows w_j, frozen; fresh b_j ~ N(0, 1); ridge regression for a.
        self.W = W / np.linalg.norm(W, axis=1, keepdims=True)
        self.b = rng.standard_normal(m)
        self.c = y[n:].mean()
        F = self.hidden(X[n:])
        ridge = 1e-3 * len(F) * np.eye(m)
        self.a = np.linalg.solve(F.T @ F + ridge, F.T @ (y[n:] - self.c))

    def hidden(self, X):
        return ACTIVATIONS["log-cosh"][0](X @ self.W.T + self.b)

    def predict(self, X):
        return self.hidden(X) @ self.a + self.c


if __name__ == "__main__":
    # y = tanh(z_1 z_2), z = U x, at n = d log² d rows for each stage.
    rng = np.random.default_rng(0)
    d = 128
    U = np.linalg.qr(rng.standard_normal((d, 2)))[0].T
    X = rng.standard_normal((2 * int(d * math.log(d) ** 2) + 5000, d))
    y = np.tanh(np.prod(X @ U.T, axis=1))
    trainer = Trainer()
    trainer.fit(X[:-5000], y[:-5000])
    alignment = np.sum((trainer.W @ U.T) ** 2) / np.sum(trainer.W**2)
    error = np.mean((trainer.predict(X[-5000:]) - y[-5000:]) ** 2) / np.var(y[-5000:])
    print(f"tanh(z1 z2), d = {d}: alignment {alignment:.2f} (chance: {2 / d:.2f}),", end=" ")
    print(f"test error {error:.2f} (predicting the mean: 1)")
    print("On trial:  mimverify check numpy_trainer:Trainer --profile quick")
