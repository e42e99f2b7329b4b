"""`fit` and `predict` alone, as an estimator offers them: all of the network stays inside."""

from __future__ import annotations

import math

import numpy as np


class Trainer:
    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y):
        rng = np.random.default_rng(self.random_state)
        X, y = np.asarray(X, float), np.asarray(y, float)
        n, d = len(y) // 2, X.shape[1]
        directions = self._directions(X[:n], y[:n], rng.standard_normal((96, d)))
        self.coef_ = directions.repeat(4, axis=0)
        self.biases_ = rng.standard_normal(len(self.coef_))
        features = np.column_stack([np.ones(len(y) - n), self._features(X[n:])])
        penalty = np.full(features.shape[1], 1e-3)
        penalty[0] = 0
        scale = features[:, 1:].var(axis=0).mean()
        gram = features.T @ features / (len(y) - n) + np.diag(penalty * scale)
        self.output_ = np.linalg.solve(gram, features.T @ y[n:] / (len(y) - n))
        return self

    @staticmethod
    def _directions(X, y, W):
        """Gradient descent on Huber's loss, log-cosh neurons and mirrored copies, from small W."""
        n, d = X.shape
        centre = np.median(y)
        for _ in range(200):
            centre += np.clip(y - centre, -1, 1).mean()
        y = y - centre
        W, a = 1e-3 * np.vstack([W, W]) / math.sqrt(d), np.repeat([1.0, -1.0], len(W))
        for _ in range(math.ceil(math.log(d) / math.log(n / d)) + 2):
            Z = X @ W.T
            f = (np.logaddexp(Z, -Z) - math.log(2)) @ a
            gradient = (np.clip(f - y, -1, 1)[:, None] * np.tanh(Z) * a).T @ X / n
            # Weight decay 1/η leaves −η times the gradient, and η its largest row at length 1e-3.
            W = -1e-3 * gradient / np.linalg.norm(gradient, axis=1).max()
        half = W[: len(W) // 2]
        return half / np.linalg.norm(half, axis=1, keepdims=True)

    def _features(self, X):
        Z = X @ self.coef_.T + self.biases_
        return np.logaddexp(Z, -Z) - math.log(2)

    def predict(self, X):
        return self.output_[0] + self._features(np.asarray(X, float)) @ self.output_[1:]
