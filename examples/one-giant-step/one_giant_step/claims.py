"""Claims of "Neural Networks can Learn Representations with Gradient Descent".

Alex Damian, Jason D. Lee, Mahdi Soltanolkotabi, COLT 2022, https://arxiv.org/abs/2206.15144. Their
algorithm: symmetric start; the labels' linear part is removed; one step on the first layer with
weight decay 1/η, which cancels the start; biases redrawn; ridge regression for the output weights.
The step is the trainer's; everything around it is the claims' own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from mimverify import Link, MultiIndexModel, overlaps, symmetric_start
from mimverify.trial import (
    Event,
    Pack,
    Rounding,
    above,
    below,
    between,
    choices,
    claim,
    exact_step,
    log_odds,
    near_odds,
    odds_below,
    readout_error,
    step_envelope,
)
from one_giant_step.prediction import log_odds as predicted_log_odds
from one_giant_step.prediction import samples_for_half

PACK = Pack(
    title="One giant step (Damian, Lee, Soltanolkotabi 2022)",
    source="https://arxiv.org/abs/2206.15144",
    version="1",
    budget=1e-6,
    mutants="one_giant_step.mutants",
)

ABSTRACT = "arXiv:2206.15144 (https://proceedings.mlr.press/v178/damian22a.html), abstract"
HERMITE = "arXiv:2305.18270v1, abstract"

HE2_HE3 = Link(
    "he2+he3",
    2,
    lambda z: (z[:, 0] ** 2 - 1) / np.sqrt(2) + (z[:, 1] ** 3 - 3 * z[:, 1]) / np.sqrt(6),
    "He2(z1)/√2 + He3(z2)/√6",
    polynomial=True,
)
HE2_LINEAR = Link(
    "he2+linear", 2, lambda z: (z[:, 0] ** 2 - 1) / np.sqrt(2) + z[:, 1], "He2(z1)/√2 + z2",
    polynomial=True,
)  # fmt: skip
QUARTIC = Link("quartic", 1, lambda z: z[:, 0] ** 4, "z⁴", polynomial=True)

_START = 3  # the purpose of a seed


@dataclass(frozen=True)
class Case:
    """A problem: d. Everything else derives from it."""

    dim: int


def dims(*options: int) -> st.SearchStrategy[Case]:
    """Cases with one of these dimensions."""
    return choices(options).map(Case)


def without_linear_part(X, y):
    """y − mean(y) − β̂·x with β̂ = (1/n) Σ y x, as in the paper: n ≫ d makes it enough."""
    y = y - y.mean()
    return y - X @ (y @ X / len(y))


def giant_step(trainer, W, a, b, X, y):
    """W_1 of one step at η |a_j| = √d with β = 1/η."""
    activation, loss, dtype = next(
        iter(trainer.supported(("relu",), ("squared",), ("float64", "float32")))
    )
    eta = float(np.sqrt(X.shape[1]) / np.abs(a).max())
    arrays = (np.asarray(array, dtype=dtype) for array in (W, a, b, X, y))
    options = {"activation": activation, "loss": loss}
    return trainer.step(*arrays, eta=eta, beta=1 / eta, **options).astype(np.float64)


def learn(trial, link, dim, n, seed, *, neurons=32, linear_part_kept=False):
    """The model, the start and W_1 from n of its rows; a fresh trainer."""
    trial.trainer.fresh(seed)
    model = MultiIndexModel(link, dim, seed=seed)
    data = model.sample(n)
    y = data.y if linear_part_kept else without_linear_part(data.X, data.y)
    start = symmetric_start(neurons, dim, np.random.default_rng([seed, _START]), norm=1.0)
    return model, start.W, giant_step(trial.trainer, start.W, start.a, start.b, data.X, y)


# -- n ≳ d² -------------------------------------------------------------------------------

QUADRATIC = Event("A is predicted at n_half, d and 2d", quantity="alignment at n_half(2d)")


@claim(
    id="quadratic-samples",
    statement=(
        "One step needs n ∝ d² rows: at n = (π/4) d² half of the weight of W_1 lies in the hidden "
        "direction of He2(z)/√2, at d as at 2d."
    ),
    source=f"{ABSTRACT}: 'an improved sample complexity of n ≍ d²'",
    assumptions=("y = He2(z)/√2", "ReLU, squared loss", "symmetric start", "β = 1/η"),
    measures=(
        "Event per four runs at d and four at 2d: the mean gap between the log-odds of A and their "
        "prediction, given the starts, is less than log(2)/2: half of what half of the rows, or "
        "another exponent (n ∝ d or d³), would make. Sequential binomial test of P ≥ 0.9 against "
        "P ≤ 0.5."
    ),
    needs="first layer",
    decisions=QUADRATIC,
    cases=dims(56, 48, 64),
)
def quadratic_samples(trial, case):
    def predicted(seed):
        gaps = []
        for dim in (case.dim, 2 * case.dim):
            n, seen = samples_for_half(dim), []
            for k in range(4):
                run = trial.seed_of(seed, dim, k)
                model, start, W = learn(trial, "he2", dim, n, run)
                expected = predicted_log_odds(start @ model.subspace[0], dim=dim, samples=n)
                seen.append((log_odds(W, model.subspace), expected))
            odds, expected = np.mean(seen, axis=0)
            gaps.append(abs(odds - expected))
        allowed = np.log(2) / 2
        return near_odds(odds, expected, allowed).and_also(gaps[0] <= allowed, "so at d")

    trial.decide(predicted)


# -- the predicted failure at n ∝ d -----------------------------------------------------------

FALLS = Event("odds fall like d^-p, 1/2 < p < 3/2", quantity="exponent of odds in 1/d")
LOST = Event("A < 1/4 at 4d", quantity="alignment at 4d")
USELESS = Event("test error > 1/2 at 4d", quantity="test error at 4d")


@claim(
    id="linear-samples-fail",
    statement=(
        "At n = 16 d one step fails: the odds A/(1 − A) fall like 1/d, and the readout with "
        "redrawn biases predicts less than half of the variance."
    ),
    source=f"{ABSTRACT}: 'n ≍ d²'; {HERMITE}: 'n = O(d²) is essential for learning multiple "
    "directions'",
    assumptions=("y = He2(z)/√2", "n = 16 d", "ReLU, squared loss", "symmetric start", "β = 1/η"),
    measures=(
        "Events per four runs at d and two at 4d: the exponent of the mean log-odds lies in "
        "(1/2, 3/2); at 4d A is below 1/4, the midpoint of 1/2 and 0, and the normalised test "
        "error of ridge regression on as many fresh rows above 1/2. Sequential binomial tests of "
        "P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(FALLS, LOST, USELESS),
    cases=dims(64, 72),
)
def linear_samples_fail(trial, case):
    def outcomes(seed):
        # Small problems have the largest variance and the lowest cost. The deviation of the
        # exponent is 0.12, that of the error 0.05.
        small: list[float] = []
        large: list[float] = []
        errors = []
        for dim, odds, count in ((case.dim, small, 4), (4 * case.dim, large, 2)):
            for k in range(count):
                run = trial.seed_of(seed, dim, k)
                model, _, W = learn(trial, "he2", dim, 16 * dim, run, neurons=64)
                odds.append(log_odds(W, model.subspace))
                if dim > case.dim:
                    errors.append(readout_error(model, W, 16 * dim, seed=run))
        return {
            FALLS: between((np.mean(small) - np.mean(large)) / np.log(4), 0.5, 1.5),
            LOST: odds_below(np.mean(large), np.log(1 / 3)),
            USELESS: above(np.mean(errors), 0.5),
        }

    trial.decide(outcomes)


# -- only the leading Hermite order ------------------------------------------------------------

LEADING = Event("z1 is learned, z2 is not", quantity="part of ‖W_1‖² along z1")


@claim(
    id="leading-order",
    statement=(
        "Of He2(z1) + He3(z2) one step learns z1 alone, at a number of rows of order d² with which "
        "it learns z1 well: only the leading Hermite order enters the step."
    ),
    source=f"{ABSTRACT}; {HERMITE}: 'directions, which lack the first ℓ Hermite coefficients, "
    "remain unobserved'",
    assumptions=("n = 2π d²: four times z1's n_half", "ReLU, squared loss", "β = 1/η"),
    measures=(
        "Event per run: more than half of ‖W_1‖² lies along z1 (predicted 0.8), and less than half "
        "of the rest along z2 (predicted 8/(2 d + 4), noise). Sequential binomial test of P ≥ 0.9 "
        "against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=LEADING,
    cases=dims(48, 56),
)
def leading_order(trial, case):
    n = 4 * samples_for_half(case.dim, variance=2.0)

    def only_leading(seed):
        model, _, W = learn(trial, HE2_HE3, case.dim, n, seed)
        first, second = overlaps(W, model.subspace)
        noise = second < (1 - first) / 2
        return above(first, 0.5).and_also(noise, "less than half of the rest along z2")

    trial.decide(only_leading)


# -- the linear part ---------------------------------------------------------------------------

REMOVED = Event("without linear part z1 is learned", quantity="part of ‖W_1‖² along z1")
SWAMPED = Event("with it every neuron is z2", quantity="part of ‖W_1‖² along z2, not removed")


@claim(
    id="linear-part-first",
    statement=(
        "With He2(z1)/√2 + z2 every neuron moves to z2, (1/2) E[y x], unless the linear part is "
        "removed first; then z1 is learned."
    ),
    source="arXiv:2206.15144, the algorithm: the labels' linear part is removed before the step",
    assumptions=("n = 2π d²: eight times n_half of He2", "ReLU, squared loss", "β = 1/η"),
    measures=(
        "Events per run: more than half of ‖W_1‖² lies along z1 after the removal (predicted 0.8), "
        "along z2 without it (predicted above 0.9). Sequential binomial tests of P ≥ 0.9 against "
        "P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(REMOVED, SWAMPED),
    cases=dims(48, 56),
)
def linear_part_first(trial, case):
    n = 8 * samples_for_half(case.dim)

    def outcomes(seed):
        model, _, W = learn(trial, HE2_LINEAR, case.dim, n, seed)
        _, _, kept = learn(trial, HE2_LINEAR, case.dim, n, seed, linear_part_kept=True)
        return {
            REMOVED: above(overlaps(W, model.subspace)[0], 0.5),
            SWAMPED: above(overlaps(kept, model.subspace)[1], 0.5),
        }

    trial.decide(outcomes)


# -- what the representation is good for -------------------------------------------------------

SAME = Event("test error < 1/2", quantity="test error")
TRANSFER = Event("another head needs no more rows at 2d", quantity="test error of z⁴ at 2d")


@claim(
    id="transfer",
    statement=(
        "At n = π d² the readout (biases redrawn, ridge) on W_1 predicts the target, and from 512 "
        "rows, whatever d, another polynomial of the same direction."
    ),
    source=(f"{ABSTRACT}: 'enables transfer learning with sample complexity independent of d'"),
    assumptions=("n = π d²: four times n_half", "heads He2(z)/√2 and z⁴", "ReLU in the step"),
    measures=(
        "Events per run at d and 2d: the normalised test errors of the target and of z⁴, each read "
        "out from 512 fresh rows, are nearer to 0 than to 1, the error of the mean. Sequential "
        "binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(SAME, TRANSFER),
    cases=dims(48, 56, 64),
)
def transfer(trial, case):
    rows = 512

    def outcomes(seed):
        own, other = [], []
        for dim in (case.dim, 2 * case.dim):
            run = trial.seed_of(seed, dim)
            model, _, W = learn(trial, "he2", dim, 4 * samples_for_half(dim), run)
            head = MultiIndexModel(QUARTIC, dim, subspace=model.subspace, seed=run)
            own.append(readout_error(model, W, rows, seed=run))
            other.append(readout_error(head, W, rows, seed=run))
        return {
            SAME: below(own[1], 0.5).and_also(own[0] < 0.5, "so at d"),
            TRANSFER: below(other[1], 0.5).and_also(other[0] < 0.5, "so at d"),
        }

    trial.decide(outcomes)


# -- the decay cancels the start ---------------------------------------------------------------


@claim(
    id="start-cancels",
    statement=(
        "With β = 1/η nothing of W_0 is left in W_1 = −η ∇L(W_0); with ReLU and the symmetric "
        "start W_1 depends on the directions of W_0 alone, not on their lengths."
    ),
    source="arXiv:2206.15144, the algorithm: λ₁ = 1/η₁",
    assumptions=("η β = 1", "b = 0, symmetric start", "ReLU, squared loss"),
    measures=(
        "Largest |W_1 + η ∇L(W_0)| over its rounding envelope, from W_0 and from 4 W_0; fails "
        "above 1."
    ),
    needs="first layer",
    decisions=Rounding("W_1 has nothing of its start"),
    cases=dims(8, 12, 24),
    cost=0.3,
)
def start_cancels(trial, case):
    seed = trial.seed_of(case)
    model = MultiIndexModel("he2", case.dim, seed=seed)
    data = model.sample(16 * case.dim)
    start = symmetric_start(8, case.dim, np.random.default_rng([seed, _START]), norm=1.0)
    for activation, loss, dtype in trial.trainer.supported(
        ("relu",), ("squared",), ("float64", "float32")
    ):
        W, a, b = (array.astype(dtype) for array in (start.W, start.a, start.b))
        X, y = data.X.astype(dtype), without_linear_part(data.X, data.y).astype(dtype)
        eta = 8.0
        options = {"eta": eta, "beta": 1 / eta, "activation": activation, "loss": loss}
        descent = exact_step(W, a, b, X, y, **(options | {"beta": 0.0})) - W.astype(np.float64)
        for factor in (1, 4):
            trial.within(
                f"W_1 from {factor} W_0",
                trial.trainer.step(factor * W, a, b, X, y, **options),
                descent,
                step_envelope(factor * W, a, b, X, y, dtype=dtype, **options),
                dtype=dtype,
            )
