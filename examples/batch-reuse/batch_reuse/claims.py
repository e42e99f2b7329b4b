"""Claims of "The Benefits of Reusing Batches for Gradient Descent in Two-Layer Networks".

Yatin Dandi, Emanuele Troiani, Luca Arnaboldi, Luca Pesce, Lenka Zdeborová, Florent Krzakala, ICML
2024, https://arxiv.org/abs/2402.03220. Plain full-batch gradient descent on the first layer, at a
finite rate and from a start that is not symmetric, with ReLU, at n = α d. All predictions are those
of `batch_reuse.prediction`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from batch_reuse.links import ALTERNATING, HALF_ALTERNATING
from batch_reuse.prediction import reused_overlap
from mimverify import MultiIndexModel
from mimverify.trial import Event, Pack, above, between, choices, claim, near

PACK = Pack(
    title="Batch reuse (Dandi, Troiani, Arnaboldi, Pesce, Zdeborová, Krzakala 2024)",
    source="https://arxiv.org/abs/2402.03220",
    version="1",
    budget=1e-6,
    mutants="batch_reuse.mutants",
)

ABSTRACT = "arXiv:2402.03220, abstract"

RATE, RATIO, NEURONS = 4.0, 4.0, 64
_START = 3  # the purpose of a seed


@dataclass(frozen=True)
class Case:
    """A problem: d. Everything else derives from it."""

    dim: int


def dims(*options: int) -> st.SearchStrategy[Case]:
    """Cases with one of these dimensions."""
    return choices(options).map(Case)


class Run:
    """One run: a model, its start, and the options of plain gradient descent.

    The rows of W_0 are independent and of length 1, half of the neurons have a_j = 1/m and half
    −1/m, so that the network's output is of order 1 after a step; η |a_j| = `rate`.
    """

    def __init__(self, trial, link, dim, seed, *, rate=RATE, ratio=RATIO):
        trial.trainer.fresh(seed)
        self.trainer, self.n = trial.trainer, round(ratio * dim)
        activation, loss, self.dtype = next(
            iter(self.trainer.supported(("relu",), ("squared",), ("float64", "float32")))
        )
        self.model = MultiIndexModel(link, dim, seed=seed)
        W = np.random.default_rng([seed, _START]).standard_normal((NEURONS, dim))
        self.W = (W / np.linalg.norm(W, axis=1, keepdims=True)).astype(self.dtype)
        self.a = np.repeat([1 / NEURONS, -1 / NEURONS], NEURONS // 2).astype(self.dtype)
        self.b = np.zeros(NEURONS, dtype=self.dtype)
        self.options = {
            "eta": rate * NEURONS, "beta": 0.0, "activation": activation, "loss": loss,
        }  # fmt: skip

    def same_batch(self):
        """u·w_j of all neurons after 0, 1 and 2 steps on one batch, `(3, m)`."""
        data = self.model.sample(self.n, dtype=self.dtype)
        weights = self.trainer.trajectory(
            self.W, self.a, self.b, data.X, data.y, steps=2, **self.options
        )
        return self.overlaps(weights)

    def one_pass(self):
        """The same with a batch of its own for each step."""
        weights = [self.W]
        for purpose in ("stage1", "stage2"):
            data = self.model.sample(self.n, purpose=purpose, dtype=self.dtype)
            W = self.trainer.step(weights[-1], self.a, self.b, data.X, data.y, **self.options)
            weights.append(W.astype(self.dtype))
        return self.overlaps(weights)

    def overlaps(self, weights):
        return np.asarray(weights, dtype=np.float64) @ self.model.subspace[0]


# -- two steps on one batch ------------------------------------------------------------------

ESCAPES = Event("the overlap is nearer to its prediction than to 0", quantity="mean overlap")


@claim(
    id="two-steps-escape",
    statement=(
        "Two steps of plain gradient descent on one batch of n = 4 d rows give every neuron an "
        "overlap of order 1 with the hidden direction of a target of information exponent 3."
    ),
    source=f"{ABSTRACT}: 'upon re-using batches, the network achieves in just two time steps an "
    "overlap with the target subspace'",
    assumptions=("neither even nor odd link", "ReLU, squared loss", "η |a_j| = 4", "β = 0"),
    measures=(
        "Event per run: the mean of u·w_j after two steps lies between 1/2 and 3/2 of its "
        "prediction for d → ∞. Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=ESCAPES,
    cases=dims(256, 320, 384),
)
def two_steps_escape(trial, case):
    predicted = reused_overlap(HALF_ALTERNATING, rate=RATE, ratio=RATIO)

    def escapes(seed):
        overlap = Run(trial, HALF_ALTERNATING, case.dim, seed).same_batch()[2].mean()
        return near(overlap, predicted, predicted / 2)

    trial.decide(escapes)


# -- the predicted failure: one pass --------------------------------------------------------

STAYS = Event("the overlap is nearer to 0 than to that of one batch", quantity="mean overlap")


@claim(
    id="one-pass-fails",
    statement=(
        "With a batch of its own for each of the two steps nothing is learned: the overlap is "
        "that of noise, O(1/√d)."
    ),
    source=f"{ABSTRACT}: 'limitations of … single-pass GD given by the information exponent'",
    assumptions=("information exponent 3", "n = 4 d rows in each step", "as two-steps-escape"),
    measures=(
        "Event per run: the mean of u·w_j is nearer to 0 than to the prediction for one batch, "
        "0.25; it is predicted to be normal with deviation 0.63/√d, a third of that distance or "
        "less. Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=STAYS,
    cases=dims(256, 320, 384),
)
def one_pass_fails(trial, case):
    middle = reused_overlap(HALF_ALTERNATING, rate=RATE, ratio=RATIO) / 2

    def stays(seed):
        overlap = Run(trial, HALF_ALTERNATING, case.dim, seed).one_pass()[2].mean()
        return between(overlap, -middle, middle)

    trial.decide(stays)


# -- what survives as d grows ----------------------------------------------------------------

SURVIVES = Event("overlap² ∝ d^-p, p < 1/2, not even link", quantity="exponent in 1/d")
VANISHES = Event("overlap² ∝ d^-p, p > 1/2, even link", quantity="exponent in 1/d, even link")


@claim(
    id="even-links-stay-hard",
    statement=(
        "The squared overlap after two steps on one batch is independent of d, but falls like 1/d "
        "for an even target: reusing the batch does not help there."
    ),
    source=f"{ABSTRACT}: 'We characterize the (broad) class of functions efficiently learned in "
    "finite time'; that even ones are outside it: batch_reuse.prediction",
    assumptions=("the same link on z > 0 alone, and mirrored", "as two-steps-escape"),
    measures=(
        "Events per eight runs at d and two at 4d: the exponent of the mean of (u·w_j)² in 1/d is "
        "below 1/2 for the first link, above for the second: midway between 0 and 1. Sequential "
        "binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(SURVIVES, VANISHES),
    cases=dims(96, 112),
)
def even_links_stay_hard(trial, case):
    # Small problems have the largest variance and the lowest cost.
    def exponent(link, seed):
        sizes = [
            np.mean(
                [
                    Run(trial, link, dim, trial.seed_of(seed, dim, k)).same_batch()[2] ** 2
                    for k in range(count)
                ]
            )
            for dim, count in ((case.dim, 8), (4 * case.dim, 2))
        ]
        return np.log(sizes[0] / sizes[1]) / np.log(4)

    def outcomes(seed):
        return {
            SURVIVES: between(exponent(HALF_ALTERNATING, seed), -0.5, 0.5),
            VANISHES: above(exponent(ALTERNATING, seed), 0.5),
        }

    trial.decide(outcomes)


# -- the finite rate --------------------------------------------------------------------------

QUADRATIC = Event("overlap ∝ rate^p, p > 3/2", quantity="exponent in the rate")


@claim(
    id="finite-rate",
    statement=(
        "The overlap after two steps is quadratic in a small rate: a finite rate is needed, and "
        "gradient flow, rate → 0 with more steps, has none."
    ),
    source=f"{ABSTRACT}: 'multi-pass GD with finite stepsize … overcome the limitations of "
    "gradient flow'",
    assumptions=("η |a_j| = 1/2 and 1", "n = 4 d", "as two-steps-escape"),
    measures=(
        "Event per four runs: the exponent of the mean of u·(w_j(2) − w_j(0)) between the two "
        "rates is above the midpoint of 1, of a linear response, and 2, and below 5/2. Sequential "
        "binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=QUADRATIC,
    cases=dims(192, 224, 256),
)
def finite_rate(trial, case):
    def quadratic(seed):
        moved = []
        for rate in (0.5, 1.0):
            seen = []
            for k in range(4):
                run = Run(trial, HALF_ALTERNATING, case.dim, trial.seed_of(seed, k), rate=rate)
                start, _, end = run.same_batch()
                seen.append((end - start).mean())
            moved.append(max(np.mean(seen), 1e-300))
        return between(np.log(moved[1] / moved[0]) / np.log(2), 1.5, 2.5)

    trial.decide(quadratic)
