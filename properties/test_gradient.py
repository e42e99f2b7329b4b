"""Gradient descent itself: every step is the exact gradient step."""

import numpy as np

from mimverify.backends import REQUIRED_BACKENDS
from mimverify.training import trainer_on
from mimverify.trial import (
    EVEN_ACTIVATIONS,
    ONE_STEP_KINDS,
    STANDARD_DTYPES,
    STEP_ACTIVATIONS,
    STEP_LOSSES,
    Rounding,
    accumulate,
    claim,
    exact_cases,
    exact_step,
    exact_trajectory,
    label_covariance,
    step_envelope,
)

# A verdict must not depend on which extras are installed.
PEERS = {name: trainer_on(name) for name in REQUIRED_BACKENDS}
# The theorem's own, with which the other backend takes a part of the time; or else what there is.
EVEN = tuple(name for name in EVEN_ACTIVATIONS if name in STEP_ACTIVATIONS)
USUAL_LOSSES = ("huber", "squared", "log-cosh")


def usual(names, offered, others):
    return [name for name in names if name in offered] or others


@claim(
    id="gradient-step",
    statement="One step maps W to W − η (∇_W L(W) + β W), L(W) = (1/n) Σ l(f(x_i), y_i).",
    source="abstract: 'trained via layer-wise gradient descent'; theory.md §2, stage 1",
    assumptions=("any W, a, b, η, β; every activation, loss and dtype the trainer supports",),
    measures="Largest |W⁺ − oracle| over its rounding envelope, entry by entry; fails above 1.",
    needs="first layer",
    decisions=Rounding("a step from given weights"),
    cases=exact_cases(),
    cost=2,
)
def gradient_step(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(
        STEP_ACTIVATIONS,
        STEP_LOSSES,
        STANDARD_DTYPES,
        every_dtype=case.every_dtype,
        method="step",
    ):
        X, y = case.data(seed, dtype)
        W, a, b = case.general_network(seed, dtype)
        options = case.options((W, a, b), (X, y), activation, loss)
        trial.within(
            "W",
            trial.trainer.step(W, a, b, X, y, **options),
            exact_step(W, a, b, X, y, **options),
            step_envelope(W, a, b, X, y, dtype=dtype, **options),
            dtype=dtype,
            **options,
        )


@claim(
    id="trajectory",
    statement="Every step t of a whole trajectory is a gradient step from the weights at t.",
    source="abstract: 'gradient descent'; theory.md §2, stage 1",
    assumptions=("any W0, a, b; full batch; constant η and β; no momentum, no hidden state",),
    measures=(
        "Largest |W_{t+1} − oracle(W_t)| over its rounding envelope; the first step and "
        "neuron above 1 are named. Errors do not accumulate: each step starts from the "
        "trainer's own weights."
    ),
    needs="first layer",
    decisions=Rounding("every step of a trajectory"),
    # What a first step has shown to be right, later ones can still get wrong.
    cases=exact_cases(without=ONE_STEP_KINDS) + exact_cases(kinds=ONE_STEP_KINDS, steps=(2,)),
    cost=2,
)
def trajectory(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(
        STEP_ACTIVATIONS,
        STEP_LOSSES,
        STANDARD_DTYPES,
        every_dtype=case.every_dtype,
        method="trajectory",
    ):
        X, y = case.data(seed, dtype)
        W, a, b = case.general_network(seed, dtype)
        options = case.options((W, a, b), (X, y), activation, loss)
        weights = trial.trainer.trajectory(W, a, b, X, y, steps=case.steps, **options)
        trial.within("W_0", weights[0], W, 0.0, dtype=dtype, **options)
        for t in range(case.steps):
            trial.within(
                f"W_{t + 1}",
                weights[t + 1],
                exact_step(weights[t], a, b, X, y, **options),
                step_envelope(weights[t], a, b, X, y, dtype=dtype, **options),
                step=t + 1,
                dtype=dtype,
                **options,
            )


@claim(
    id="backends-agree",
    statement="On common arrays the trainer and both reference backends follow one trajectory.",
    source="theory.md §2, stage 1",
    assumptions=("symmetric start, β = 1/η, η |a| = 1/‖H‖: the theorem's own setting", "any σ, l"),
    measures=(
        "Frobenius distance to the NumPy and to the Torch reference trainer at each step, "
        "over twice the accumulated rounding radius; fails above 1."
    ),
    needs="first layer",
    decisions=Rounding("distance to both reference trainers"),
    cases=exact_cases(kinds=("small", "tall", "long")),
    cost=2.5,
)
def backends_agree(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(
        usual(EVEN, trial.trainer.activations, STEP_ACTIVATIONS),
        usual(USUAL_LOSSES, trial.trainer.losses, STEP_LOSSES),
        STANDARD_DTYPES,
    ):
        X, y = case.data(seed, dtype)
        W, a, b = case.symmetric_network(seed, dtype)
        eta = float(1 / (abs(a[0]) * np.linalg.norm(label_covariance(X, y, loss=loss), 2)))
        options = {"eta": eta, "beta": 1 / eta, "activation": activation, "loss": loss}
        weights = trial.trainer.trajectory(W, a, b, X, y, steps=case.steps, **options)
        exact = exact_trajectory(W, a, b, X, y, steps=case.steps, **options)
        radius = accumulate(exact, a, b, X, y, dtype=dtype, **options)
        for name, peer in PEERS.items():
            other = peer().trajectory(W, a, b, X, y, steps=case.steps, **options)
            distance = np.linalg.norm(weights.astype(float) - other, axis=(1, 2))
            trial.within(
                f"‖W_t − W_t({name})‖ at t = {{}}", distance, 0.0 * distance, 2 * radius,
                dtype=dtype, **options,
            )  # fmt: skip
