"""Stage 1 is power iteration on the label-weighted covariance (theory.md §3, E1–E3)."""

import numpy as np

from mimverify.trial import (
    STANDARD_DTYPES,
    STANDARD_LOSSES,
    accumulate,
    claim,
    exact_cases,
    label_covariance,
    lipschitz,
    settings_text,
    step_envelope,
)

EVEN = ("log-cosh", "quadratic", "pseudo-huber", "softplus-centred", "gelu-centred")
# σ''(0) of the activations for which E3 holds, and the order in ε0 of the gap.
CURVATURE = {
    "log-cosh": (1.0, 2),
    "pseudo-huber": (1.0, 2),
    "softplus-centred": (0.25, 2),
    "gelu-centred": (2 / np.sqrt(2 * np.pi), 2),
    "exp-centred": (1.0, 1),
}


def scale_free(a, X, y, activation, loss):
    """β = 1/η with η |a| = 1/‖H‖: iterates neither explode nor vanish."""
    eta = float(1 / (abs(a[0]) * np.linalg.norm(label_covariance(X, y, loss=loss), 2)))
    return {"eta": eta, "beta": 1 / eta, "activation": activation, "loss": loss}


@claim(
    id="antisymmetry",
    statement="w_{j+m/2}(t) = (−1)^t w_j(t) and f ≡ 0 at every t, for every loss.",
    source="theory.md §3, E1",
    assumptions=("symmetric start", "b = 0", "σ even", "β1 = 1/η1"),
    measures=(
        "‖w_{j+m/2}(t) − (−1)^t w_j(t)‖ over all pairs, and max |f_t(x_i)|, over what "
        "accumulated rounding allows; fails above 1."
    ),
    needs="first layer",
)
def test_antisymmetry(trial):
    def check(case):
        seed, half = trial.seed_of(case), case.neurons // 2
        for activation, loss, dtype in trial.trainer.supported(
            EVEN, STANDARD_LOSSES, STANDARD_DTYPES
        ):
            X, y = case.data(seed, dtype)
            W, a, b = case.symmetric_network(seed, dtype)
            options = scale_free(a, X, y, activation, loss)
            weights = trial.trainer.features(W, a, b, X, y, steps=case.steps, **options)
            weights = weights.astype(np.float64)
            signs = (-1.0) ** np.arange(case.steps + 1)
            defect = np.linalg.norm(
                weights[:, half:] - signs[:, None, None] * weights[:, :half], axis=(1, 2)
            )
            # Pairs differ only by rounding, which each later step magnifies at most by κ.
            allowed = [0.0]
            for t in range(case.steps):
                local = step_envelope(
                    weights[t], a, b, X, y, dtype=dtype, reach=allowed[-1], **options
                )
                kappa = lipschitz(weights[t], a, b, X, y, **options)
                allowed.append(kappa * allowed[-1] + 2 * float(np.linalg.norm(local)))
            trial.within(
                "‖w_{j+m/2} − (−1)^t w_j‖ at t = {}", defect, 0 * defect, np.array(allowed),
                dtype=dtype, **options,
            )  # fmt: skip

    trial.for_each(exact_cases(steps=(4, 1, 2, 6)), check)


@claim(
    id="power-iteration",
    statement="With σ = z²/2, w_j(t) = (η1 a_j H)^t w_j(0), H = (1/n) Σ T_i x_i x_iᵀ.",
    source="abstract: 'can perform a power-iteration process'; theory.md §3, E2",
    assumptions=("σ = z²/2", "symmetric start", "b = 0", "β1 = 1/η1"),
    measures=(
        "Frobenius distance to the matrix power at each step, over the accumulated rounding "
        "radius; fails above 1."
    ),
    needs="first layer",
)
def test_power_iteration(trial):
    def check(case):
        seed = trial.seed_of(case)
        for activation, loss, dtype in trial.trainer.supported(
            ("quadratic",), STANDARD_LOSSES, STANDARD_DTYPES
        ):
            X, y = case.data(seed, dtype)
            W, a, b = case.symmetric_network(seed, dtype)
            options = scale_free(a, X, y, activation, loss)
            H = label_covariance(X, y, loss=loss)
            powers = [W.astype(np.float64)]
            for _ in range(case.steps):
                powers.append(options["eta"] * a[:, None].astype(np.float64) * powers[-1] @ H)
            weights = trial.trainer.features(W, a, b, X, y, steps=case.steps, **options)
            distance = np.linalg.norm(weights - np.array(powers), axis=(1, 2))
            # The radius also covers the rounding of the matrix powers themselves.
            radius = 2 * accumulate(powers, a, b, X, y, dtype=dtype, **options)
            trial.within(
                "‖W_t − (η a H)^t W_0‖ at t = {}", distance, 0 * distance, radius,
                dtype=dtype, **options,
            )  # fmt: skip

    trial.for_each(exact_cases(steps=(5, 1, 3, 8)), check)


def slope(trial, gaps, order, what, **context):
    """The local log-log slope of gaps at sizes s, s/2 must round to the integer `order`."""
    measured = float(np.log2(gaps[0] / gaps[1]))
    trial.evidence["statistic"] = "log-log slope of the gap farthest from its integer order"
    distance = abs(measured - order)
    if trial.statistic is None or distance > abs(trial.statistic - round(trial.statistic)):
        trial.statistic = measured
        trial.evidence["summary"] = f"slope {measured:.3f}, order {order} claimed"
    if not distance < 0.5:
        trial.fail(
            f"{what}: slope {measured:.3f}, expected order {order} ({settings_text(context)})"
        )


@claim(
    id="small-initialisation",
    statement=(
        "The relative gap to (η1 a_j σ''(0) H)^T w_j(0) vanishes like ε0² for even σ and like "
        "ε0 for e^z − 1 − z."
    ),
    source="theory.md §3, E3",
    assumptions=("σ'(0) = 0", "symmetric start", "b = 0", "β1 = 1/η1", "float64", "ε0 → 0"),
    measures=(
        "Log-log slope of the gap between ε0 = 2⁻⁷ and 2⁻⁸; fails unless it rounds to the "
        "stated order. The next order changes it by O(ε0), rounding by less than 1e-6."
    ),
    needs="first layer",
)
def test_small_initialisation(trial):
    def check(case):
        seed = trial.seed_of(case)
        for activation, loss, dtype in trial.trainer.supported(
            tuple(CURVATURE), STANDARD_LOSSES, ("float64",)
        ):
            curvature, order = CURVATURE[activation]
            X, y = case.data(seed, dtype)
            W, a, b = case.symmetric_network(seed, dtype)
            direction = W / np.linalg.norm(W[0])
            options = scale_free(a, X, y, activation, loss)
            options["eta"] /= curvature
            options["beta"] = 1 / options["eta"]
            step = options["eta"] * curvature * a[:, None]
            H = label_covariance(X, y, loss=loss)
            limit = direction.copy()
            for _ in range(case.steps):
                limit = step * (limit @ H)
            gaps = []
            for size in (2.0**-7, 2.0**-8):
                weights = trial.trainer.features(
                    size * direction, a, b, X, y, steps=case.steps, **options
                )
                gaps.append(np.linalg.norm(weights[-1] / size - limit) / np.linalg.norm(limit))
            slope(trial, gaps, order, "gap to power iteration", case=case, **options)

    trial.for_each(exact_cases(steps=(3, 1, 2), norms=(1.0,)), check)


@claim(
    id="weak-feedback",
    statement=(
        "With β1 ≠ 1/η1, w_j(T) approaches ((1 − η1 β1) I + η1 a_j H)^T w_j(0) as a → 0; the "
        "deviation is of order a³."
    ),
    source="theory.md §3, E2",
    assumptions=("σ = z²/2", "symmetric start", "b = 0", "T ≥ 2", "smooth loss", "float64"),
    measures=(
        "Log-log slope of the deviation between a = 2⁻⁶ and 2⁻⁷; fails unless it rounds to 3."
    ),
    needs="first layer",
)
def test_weak_feedback(trial):
    def check(case):
        seed = trial.seed_of(case)
        for activation, loss, dtype in trial.trainer.supported(
            ("quadratic",), ("squared", "pseudo-huber", "log-cosh"), ("float64",)
        ):
            X, y = case.data(seed, dtype)
            W, a, b = case.symmetric_network(seed, dtype)
            H = label_covariance(X, y, loss=loss)
            options = {"eta": 1.0, "beta": 0.25, "activation": activation, "loss": loss}
            # f must stay small beside the labels: |x| grows with d, so W is scaled by it.
            W = W / np.linalg.norm(W[0]) / np.linalg.norm(X, axis=1).max()
            gaps = []
            for size in (2.0**-6, 2.0**-7):
                output = np.sign(a) * size
                limit = W.copy()
                for _ in range(case.steps):
                    limit = 0.75 * limit + output[:, None] * (limit @ H)
                weights = trial.trainer.features(W, output, b, X, y, steps=case.steps, **options)
                gaps.append(np.linalg.norm(weights[-1] - limit))
            slope(trial, gaps, 3, "deviation from power iteration", case=case, **options)

    trial.for_each(exact_cases(steps=(3, 2, 4), norms=(1.0,)), check)
