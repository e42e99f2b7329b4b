"""Negative controls: outside the assumptions learning fails as predicted (theory.md §4, §6)."""

import math

import numpy as np

from mimverify import Link, MultiIndexModel, alignment, overlaps
from mimverify.theory import analyse_transform, predict_trajectory
from mimverify.trial import (
    CURVED_ACTIVATIONS,
    LIPSCHITZ_LOSSES,
    Event,
    above,
    below,
    between,
    claim,
    first_layer,
    label_covariance,
    learning_cases,
    log_odds,
    mean_log_odds,
    odds_above,
    odds_below,
    training_data,
)

# Smooth with σ'(0) ≠ 0: outside the theorem's assumptions, but in common use.
SLOPED = ("softplus", "gelu")

CONTROL_LINKS = {
    "gate": Link(
        "gate", 1, lambda z: np.sign(z[:, 0]) * (np.abs(z[:, 0]) > 1.5), "sgn z·1{|z| > 1.5}"
    ),
    "linear": Link("linear", 1, lambda z: z[:, 0], "z"),
    "staircase": Link(
        "staircase",
        3,
        lambda z: (z[:, 0] ** 2 - 1) / np.sqrt(2) + np.sign(np.prod(z, axis=1)),
        "(z1² − 1)/√2 + sign(z1 z2 z3)",
    ),
}

FLAT = Event("16 times the samples do not lift A", quantity="|change| of log-odds")
LEARNED = Event("something is learned", quantity="alignment at n/d = 256")
CAUGHT = Event("squared loss ends at the large label", quantity="cos² with the heavy row")
REPAIRED = Event("a Lipschitz loss does not", quantity="alignment, Lipschitz loss")
SWAMPED = Event("the linear part swamps W_1", quantity="cos² of W_1 with (1/n) Σ T x")
REMOVED = Event(
    "without it A_6 is that of n − d samples", quantity="log-odds lost, linear part removed"
)
FEEDBACK = Event("a large output spoils it", quantity="alignment with a large output")


def plateau_cases(trainer):
    """Without squared loss the gate alone: any T is odd there and has three values.

    A Lipschitz loss bounds T at y = z, and u/v with it. Under l1 a label of 0 has a T of the sign
    of rounding.
    """
    losses = [loss for loss in LIPSCHITZ_LOSSES if loss in trainer.losses]
    squared = "squared" in trainer.losses or not losses
    return learning_cases(
        links=("gate", "linear") if squared else ("gate",),
        dims=(24, 28, 32),
        losses=("squared",) if squared else losses,
    )


@claim(
    id="plateau",
    statement=(
        "With Λ = 0 but u > 2v second order leaves an overlap that more samples do not lift: "
        "between n/d = 16 and 256 the odds rise by less than half of what n/d would give."
    ),
    source="theory.md §6, N1; abstract: 'generic non-degenerate assumptions'",
    assumptions=("r = 1", "odd link", "squared or Lipschitz loss", "Λ = 0", "u > 2v"),
    measures=(
        "Events per six runs at each ratio, T = 4: the mean log-odds differ by less than "
        "log(16)/2; at n/d = 256 they are above the midpoint of the null's, A = r/d, and the "
        "plateau's. Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(FLAT, LEARNED),
    cases=plateau_cases,
    cost=3,
    profile="standard",
)
def plateau(trial, case):
    steps, few, many, neurons, batch = 4, 16, 256, 32, 6
    link = CONTROL_LINKS[case.link]
    overlap = analyse_transform(link, case.loss).plateau
    assert overlap is not None  # Λ = 0
    null = link.rank / case.dim
    middle = (math.log(overlap / (1 - overlap)) + math.log(null / (1 - null))) / 2

    # The difference is about 0.3 by D1, the standard deviation of a run's log-odds 0.57: a limit
    # of 1.39 for the difference of two means over six is three deviations away.
    def outcomes(seed):
        small, large = (
            mean_log_odds(
                trial, link, case.dim, ratio * case.dim, seed=seed, batch=batch,
                loss=case.loss, steps=steps, neurons=neurons, only=True,
            )[steps]
            for ratio in (few, many)
        )  # fmt: skip
        return {
            FLAT: below(abs(large - small), math.log(many / few) / 2),
            LEARNED: odds_above(large, middle),
        }

    trial.decide(outcomes)


@claim(
    id="staircase",
    statement="Of He2(z1) + sign(z1 z2 z3) only z1 is learned: Λ has rank 1.",
    source="theory.md §6, N1; abstract: 'hierarchical functions'",
    assumptions=("Lipschitz loss", "n/d = 32", "small start: f stays ≪ y"),
    measures=(
        "Event per seed at T = 8: more than half of ‖W‖² lies along z1, and of the rest less "
        "than half in the plane of z2 and z3. Sequential binomial test of P ≥ 0.9 against "
        "P ≤ 0.5."
    ),
    needs="first layer",
    decisions=Event("z1 is learned, z2 and z3 are not", quantity="part of ‖W‖² along z1"),
    cases=learning_cases(links=("staircase",), dims=(48, 56, 64), losses=LIPSCHITZ_LOSSES),
    cost=0.5,
)
def staircase(trial, case):
    steps, ratio, neurons = 8, 32, 32

    # The noise is isotropic in d − 1 directions: z2 and z3 have about 2/(d − 1) of it.
    def only_first(seed):
        model = MultiIndexModel(CONTROL_LINKS[case.link], case.dim, seed=seed)
        weights = first_layer(
            trial.trainer, model, ratio * case.dim, loss=case.loss, steps=steps,
            neurons=neurons, seed=seed,
        )  # fmt: skip
        first, second, third = overlaps(weights[steps], model.subspace)
        others = second + third < (1 - first) / 2
        return above(first, 0.5).and_also(others, "less than half of the rest along z2 and z3")

    trial.decide(only_first)


def heavy_label_cases(trainer):
    """Cases with the Lipschitz losses that the trainer has; l1 where it has no other."""
    losses = [loss for loss in LIPSCHITZ_LOSSES if loss in trainer.losses]
    return learning_cases(links=("cos2z",), dims=(48, 56, 64), losses=losses or ["l1"])


def with_heavy_label(X, y, ratio):
    """The labels with one replaced, and the normalised row that it belongs to.

    D9 assumes ‖x‖² = d: the row nearest to that; T solves T/α + v/T = 2‖H‖, α = n/d.
    """
    v = np.mean(y**2)
    leading = np.abs(np.linalg.eigvalsh(label_covariance(X, y, loss="squared"))).max()
    row = int(np.abs((X**2).sum(axis=1) - X.shape[1]).argmin())
    y[row] = ratio * leading * (1 + math.sqrt(1 - v / (ratio * leading**2)))
    return y, X[row : row + 1] / np.linalg.norm(X[row])


@claim(
    id="heavy-label",
    statement=(
        "Under squared loss one label with |T| > √(v n/d) makes an outlier T d/n + v/T of H "
        "along its own x, and power iteration ends there when it leads; a Lipschitz loss "
        "learns the hidden direction from the same data."
    ),
    source="theory.md §4, D9; §6, N2; §2: 'the theorem asks for a Lipschitz loss'",
    assumptions=("r = 1", "n/d = 32", "one label replaced, its outlier at 2‖H‖"),
    measures=(
        "Events per seed at T = 8: under squared loss the squared cosine of W with the row of "
        "the large label is above 1/2; under a Lipschitz loss the alignment is. Sequential "
        "binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(CAUGHT, REPAIRED),
    cases=heavy_label_cases,
    cost=0.5,
)
def heavy_label(trial, case):
    steps, ratio, neurons = 8, 32, 16

    # The outlier grows by a factor 2 per step relative to the signal, 2^16 in ‖W‖² at the end,
    # and starts with no less; its own squared cosine with x is 1 − v (n/d)/T² > 0.98.
    def outcomes(seed):
        n = ratio * case.dim
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        X, y = training_data(model, n, loss="squared", seed=seed)
        labels, x = with_heavy_label(X, y, ratio)
        options = {"steps": steps, "neurons": neurons, "seed": seed, "labels": labels, "only": True}
        return {
            decision: above(
                alignment(first_layer(trial.trainer, model, n, loss=loss, **options)[steps], found),
                0.5,
            )
            for decision, loss, found in (
                (CAUGHT, "squared", x),
                (REPAIRED, case.loss, model.subspace),
            )
            if decision in possible
        }

    # Each half of the statement is about one loss, and holds without the other.
    losses = {CAUGHT: "squared", REPAIRED: case.loss}
    possible = [decision for decision, loss in losses.items() if loss in trial.trainer.losses]
    if not possible:
        trial.trainer.common(CURVED_ACTIVATIONS, losses.values(), ("float64", "float32"))
    for decision, loss in losses.items():
        if decision not in possible:
            trial.omit(decision, f"the trainer has no loss like {loss}")
    trial.decide(outcomes, *possible)


def without_linear_part(X, y):
    """The residuals of least squares with an intercept."""
    inputs = np.column_stack([np.ones(len(X)), X])
    return y - inputs @ np.linalg.solve(inputs.T @ inputs, inputs.T @ y)


def odds_by_linear_part(case, n, steps):
    """Log-odds of A_T by D1, with the linear part removed and without one."""
    return (
        predict_trajectory(
            case.link, "squared", dim=case.dim, samples=n, steps=steps, linear_part_removed=removed
        ).log_odds[steps]
        for removed in (True, False)
    )


def activations_to_compare_with(trial):
    """Those of the trainer without slope at zero; where it has none, the comparison is omitted."""
    trial.trainer.common(SLOPED, ("squared",), ("float64", "float32"))
    curved = [name for name in CURVED_ACTIVATIONS if name in trial.trainer.activations]
    if not curved:
        trial.omit(REMOVED, "the trainer has no activation without slope at zero to compare with")
    return curved


@claim(
    id="linear-part",
    statement=(
        "With σ'(0) ≠ 0 the first step carries every small neuron to (1/n) Σ T_i x_i. Once least "
        "squares has removed the labels' linear part, the alignment is D1's with n − d for n, as "
        "long as f ≪ y; with a larger output f re-enters the residual, and less is learned."
    ),
    source="theory.md §4, D8; §6, N3 and N4",
    assumptions=("r = 1", "squared loss", "softplus or GELU", "n/d = 8", "E[z | y] = 0"),
    measures=(
        "Events per twelve runs: the squared cosine of W_1 with (1/n) Σ T_i x_i is above 1/2; "
        "with the linear part removed and |a| = 0.01/m the mean log-odds of A_6 are lower than "
        "those of an even activation on the same data by between half of what D1 says for n − d "
        "against n and twice that; with |a| = 100/m those of four runs are below the midpoint "
        "of D1's and the null's, A = r/d. "
        "Sequential binomial tests of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="first layer",
    decisions=(SWAMPED, REMOVED, FEEDBACK),
    cases=learning_cases(links=("cos2z",), dims=(64, 56, 72), losses=("squared",)),
    cost=3,
    profile="standard",
)
def linear_part(trial, case):
    steps, n, neurons, batch, few = 6, 8 * case.dim, 32, 12, 4
    removed, kept = odds_by_linear_part(case, n, steps)
    cost, null = kept - removed, 1 / case.dim
    middle = (removed + math.log(null / (1 - null))) / 2

    def train(model, run, labels, activations, steps, scale):
        trial.trainer.fresh(run)
        return first_layer(
            trial.trainer, model, n, loss="squared", only=True, steps=steps, neurons=neurons,
            seed=run, labels=labels, activations=activations, output_scale=scale / neurons,
        )[steps]  # fmt: skip

    # The cost is 0.3; its standard deviation is 0.16 for a run and 0.045 for the mean of twelve,
    # so the bounds are more than three deviations away. With |a| = 100/m runs end at or below
    # the null, −4.1, with deviation 0.8 over four; W_1 has a squared cosine near 1.
    def outcomes(seed):
        odds, large_output, control = [], [], []
        for k in range(batch):
            run = trial.seed_of(seed, k)
            model = MultiIndexModel(case.link, case.dim, seed=run)
            X, y = training_data(model, n, loss="squared", seed=run)
            rest, U = without_linear_part(X, y), model.subspace
            if curved:
                control.append(log_odds(train(model, run, y, curved, steps, 0.01), U))
            odds.append(log_odds(train(model, run, rest, SLOPED, steps, 0.01), U))
            if k < few:
                large_output.append(log_odds(train(model, run, rest, SLOPED, steps, 100), U))
        vector = (y @ X)[None] / np.linalg.norm(y @ X)
        first = train(model, run, y, SLOPED, 1, 0.01)
        seen = {
            SWAMPED: above(alignment(first, vector), 0.5),
            FEEDBACK: odds_below(np.mean(large_output), middle),
        }
        if curved:
            seen[REMOVED] = between(np.mean(control) - np.mean(odds), cost / 2, 2 * cost)
        return seen

    curved = activations_to_compare_with(trial)
    trial.decide(outcomes)
