"""Stage 1 is power iteration on the label-weighted covariance (theory.md §3, E1–E3)."""

import numpy as np

from mimverify import ACTIVATIONS, get_loss
from mimverify.trial import (
    CURVED_ACTIVATIONS,
    ORACLE_ACTIVATIONS,
    STANDARD_DTYPES,
    STEP_ACTIVATIONS,
    STEP_LOSSES,
    SYMMETRIC_KINDS,
    LimitOrder,
    Rounding,
    accumulate,
    claim,
    exact_cases,
    exact_trajectory,
    label_covariance,
    lipschitz,
    step_envelope,
)

EVEN = tuple(name for name in STEP_ACTIVATIONS if ACTIVATIONS[name].even)
# The order in ε0 of the gap, of the activations for which E3 holds and leaves one.
GAP_ORDERS = {
    name: int(order)
    for name in CURVED_ACTIVATIONS
    if name in ORACLE_ACTIVATIONS
    and (order := ACTIVATIONS[name].gap_order) is not None
    and np.isfinite(order)
}


def scale_free(a, X, y, activation, loss):
    """Rates β = 1/η with η |a| = 1/‖H‖: iterates neither diverge nor vanish."""
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
    decisions=Rounding("mirrored pairs"),
    cases=exact_cases(kinds=SYMMETRIC_KINDS),
    cost=1.5,
)
def antisymmetry(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(EVEN, STEP_LOSSES, STANDARD_DTYPES):
        X, y = case.data(seed, dtype)
        W, a, b = case.symmetric_network(seed, dtype)
        options = scale_free(a, X, y, activation, loss)
        weights = trial.trainer.trajectory(W, a, b, X, y, steps=case.steps, **options)
        weights = weights.astype(np.float64)
        signs, half = (-1.0) ** np.arange(case.steps + 1), case.neurons // 2
        defect = np.linalg.norm(
            weights[:, half:] - signs[:, None, None] * weights[:, :half], axis=(1, 2)
        )
        # Pairs differ only by rounding, which each later step magnifies at most by κ.
        allowed = [0.0]
        for t in range(case.steps):
            local = step_envelope(weights[t], a, b, X, y, dtype=dtype, reach=allowed[-1], **options)
            kappa = lipschitz(weights[t], a, b, X, y, **options)
            allowed.append(kappa * allowed[-1] + 2 * float(np.linalg.norm(local)))
        trial.within(
            "‖w_{j+m/2} − (−1)^t w_j‖ at t = {}", defect, 0 * defect, np.array(allowed),
            dtype=dtype, **options,
        )  # fmt: skip


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
    decisions=Rounding("distance to the matrix power"),
    cases=exact_cases(kinds=SYMMETRIC_KINDS),
    cost=0.5,
)
def power_iteration(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(("quadratic",), STEP_LOSSES, STANDARD_DTYPES):
        X, y = case.data(seed, dtype)
        W, a, b = case.symmetric_network(seed, dtype)
        options = scale_free(a, X, y, activation, loss)
        H = label_covariance(X, y, loss=loss)
        powers = [W.astype(np.float64)]
        for _ in range(case.steps):
            powers.append(options["eta"] * a[:, None].astype(np.float64) * powers[-1] @ H)
        weights = trial.trainer.trajectory(W, a, b, X, y, steps=case.steps, **options)
        distance = np.linalg.norm(weights - np.array(powers), axis=(1, 2))
        # The radius also covers the rounding of the matrix powers themselves.
        radius = 2 * accumulate(powers, a, b, X, y, dtype=dtype, **options)
        trial.within(
            "‖W_t − (η a H)^t W_0‖ at t = {}", distance, 0 * distance, radius,
            dtype=dtype, **options,
        )  # fmt: skip


# The asymptotic order of a gap is visible only below some size, which depends on the data, and
# above the size at which rounding dominates. Both are determined on the exact trajectory.
LARGEST, SMALLEST = 6, 14  # sizes 2⁻⁶ … 2⁻¹⁴
NEAR = 0.25  # largest distance of the exact slope from its order
CLEAR = 100  # smallest exact gap in units of the rounding radius


def sizes_where_order_shows(exact_gap, order):
    """Sizes (s, s/2) between which the exact gap has the slope `order`, or None.

    `exact_gap(s)` returns the gap on the exact trajectory and the rounding radius there.
    """
    for power in range(LARGEST, SMALLEST):
        sizes = (2.0**-power, 2.0 ** -(power + 1))
        (gap, radius), (next_gap, next_radius) = map(exact_gap, sizes)
        if gap < CLEAR * radius or next_gap < CLEAR * next_radius:
            return None
        if abs(np.log2(gap / next_gap) - order) < NEAR:
            return sizes
    return None


# l'' ≠ 0 somewhere, without which f does not feed back: not l1. Huber's l'' jumps at |f − y| = 1,
# but is constant about every label of another size, hence where f is small.
CURVED_LOSSES = tuple(
    dict.fromkeys(
        (
            *("squared", "pseudo-huber", "log-cosh"),
            *(name for name in STEP_LOSSES if get_loss(name).curvature_bound > 0),
        )
    )
)

GAP = LimitOrder("the gap to power iteration")
HIDDEN = "no size shows the order of the exact gap above rounding"


class ShrinkingGap:
    """The distance of the last weights from a limit, by the trainer and in exact arithmetic.

    A subclass defines where the size enters (`start`) and what the gap is (`gap`).
    """

    def __init__(self, trial, case, network, data, options):
        self.trial, self.case, self.data, self.options = trial, case, data, options
        self.W, self.a, self.b = network

    def measured(self, size):
        """The gap by the trainer."""
        arrays = (*self.start(size), *self.data)
        weights = self.trial.trainer.trajectory(*arrays, steps=self.case.steps, **self.options)
        return self.gap(weights[-1], size)

    def exact(self, size):
        """The gap by the oracle, and its rounding radius."""
        W, a, b = self.start(size)
        steps = exact_trajectory(W, a, b, *self.data, steps=self.case.steps, **self.options)
        radius = accumulate(steps, a, b, *self.data, dtype="float64", **self.options)[-1]
        return self.gap(steps[-1], size), radius / self.scale(size)

    def start(self, size):
        """W, a and b at this size."""
        raise NotImplementedError

    def gap(self, last, size):
        """The distance of the last weights from the limit."""
        raise NotImplementedError

    def scale(self, size):
        """The factor that the gap is divided by."""
        return 1

    def compare(self, order):
        """Compare the trainer's slope with `order` at sizes where exact arithmetic has it.

        Rounding moves a slope by less than 2 · 2/(CLEAR ln 2) < 0.06: a correct trainer's is
        within NEAR + 0.06 < 1/2 of the order and cannot fail.
        """
        sizes = sizes_where_order_shows(self.exact, order)
        if sizes is None:
            self.trial.omit(GAP, HIDDEN)
            return
        gaps = [self.measured(size) for size in sizes]
        self.trial.on(GAP).slope(GAP.name, gaps, sizes, order, case=self.case, **self.options)


class SmallStart(ShrinkingGap):
    """W_0 of length ε0, divided by ε0, against power iteration with σ''(0) H."""

    def __init__(self, *arguments, curvature):
        super().__init__(*arguments)
        step = self.options["eta"] * curvature * self.a[:, None]
        H = label_covariance(*self.data, loss=self.options["loss"])
        self.limit = self.W.copy()
        for _ in range(self.case.steps):
            self.limit = step * (self.limit @ H)

    def start(self, size):
        return size * self.W, self.a, self.b

    def scale(self, size):
        return size

    def gap(self, last, size):
        return float(np.linalg.norm(last / size - self.limit))


class SmallOutput(ShrinkingGap):
    """|a_j| → 0 with β1 ≠ 1/η1, against ((1 − η1 β1) I + η1 a_j H)^T."""

    def start(self, size):
        return self.W, np.sign(self.a) * size, self.b

    def gap(self, last, size):
        H = label_covariance(*self.data, loss=self.options["loss"])
        output = np.sign(self.a)[:, None] * size
        limit = self.W.copy()
        for _ in range(self.case.steps):
            limit = 0.75 * limit + output * (limit @ H)
        return float(np.linalg.norm(last - limit))


@claim(
    id="small-initialisation",
    statement=(
        "The relative gap to (η1 a_j σ''(0) H)^T w_j(0) vanishes like ε0² for even σ and like "
        "ε0 for e^z − 1 − z."
    ),
    source="theory.md §3, E3",
    assumptions=("σ'(0) = 0", "symmetric start", "b = 0", "β1 = 1/η1", "float64", "ε0 → 0"),
    measures=(
        "Log-log slope of the gap between ε0 and ε0/2, at the largest ε0 ≤ 2⁻⁶ where exact "
        "arithmetic is within 1/4 of the stated order; fails unless it rounds to that order."
    ),
    needs="first layer",
    decisions=GAP,
    cases=exact_cases(kinds=("small", "tall"), steps=(3, 1, 2), norms=(1.0,)),
)
def small_initialisation(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(tuple(GAP_ORDERS), STEP_LOSSES, ("float64",)):
        curvature, order = ACTIVATIONS[activation].curvature_at_zero, GAP_ORDERS[activation]
        X, y = case.data(seed, dtype)
        W, a, b = case.symmetric_network(seed, dtype)
        options = scale_free(a, X, y, activation, loss)
        options["eta"] /= curvature
        options["beta"] = 1 / options["eta"]
        direction = W / np.linalg.norm(W[0])
        gap = SmallStart(trial, case, (direction, a, b), (X, y), options, curvature=curvature)
        gap.compare(order)


@claim(
    id="weak-feedback",
    statement=(
        "With β1 ≠ 1/η1, w_j(T) approaches ((1 − η1 β1) I + η1 a_j H)^T w_j(0) as a → 0; the "
        "deviation is of order a³."
    ),
    source="theory.md §3, E2",
    assumptions=(
        "σ = z²/2",
        "symmetric start",
        "b = 0",
        "T ≥ 2",
        "l smooth near the labels",
        "float64",
    ),
    measures=(
        "Log-log slope of the deviation between a and a/2, at the largest a ≤ 2⁻⁶ where exact "
        "arithmetic is within 1/4 of order 3; fails unless it rounds to 3."
    ),
    needs="first layer",
    decisions=GAP,
    cases=exact_cases(kinds=("small", "tall"), steps=(3, 2, 4), norms=(1.0,)),
    cost=0.5,
)
def weak_feedback(trial, case):
    seed = trial.seed_of(case)
    for activation, loss, dtype in trial.combinations(("quadratic",), CURVED_LOSSES, ("float64",)):
        X, y = case.data(seed, dtype)
        W, a, b = case.symmetric_network(seed, dtype)
        options = {"eta": 1.0, "beta": 0.25, "activation": activation, "loss": loss}
        # f must stay small beside the labels: |x| grows with d, so W is scaled by it.
        W = W / np.linalg.norm(W[0]) / np.linalg.norm(X, axis=1).max()
        SmallOutput(trial, case, (W, a, b), (X, y), options).compare(3)
