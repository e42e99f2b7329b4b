"""The cost of the first layer in counted operations: times on a shared machine are no evidence."""

from mimverify import ACTIVATIONS, get_loss
from mimverify.trial import (
    NAMED_ACTIVATIONS,
    ORACLE_ACTIVATIONS,
    STEP_LOSSES,
    CountedOperations,
    ExactCase,
    choices,
    claim,
)

# Not ReLU: σ' = 0 at half of all entries, whose products a trainer may well leave out.
SMOOTH = tuple(
    name for name in NAMED_ACTIVATIONS if ACTIVATIONS[name].smooth and name in ORACLE_ACTIVATIONS
)
LOSSES = sorted(STEP_LOSSES, key=lambda name: not get_loss(name).smooth)
DTYPES = ("float64", "float32")

# What is doubled, and the exponents that the counts may have in it. Counts that are sums of
# terms n^i d^j, i + j ≤ 2, with coefficients ≥ 0 have an exponent of at most 2 exactly, with or
# without lower-order terms; likewise for m and T. A margin of 1/2 allows for logarithms and
# padding; an exponent of the next integer exceeds it.
DOUBLED = {
    "d and n": {"multiply_adds": 2, "design_passes": 0},
    "m": {"multiply_adds": 1, "design_passes": 0},
    "T": {"multiply_adds": 1, "design_passes": 1},
}
MARGIN = 0.5

# A cost that is paid once, such as d³, must be visible beside the 2 n m d T of the steps. Their
# sum exceeds exponent 2 + 1/2 if (4 + 8 x)/(1 + x) > 2^(5/2), x = d³/(2 n m d T) = d/(8 m T) for
# n = 4d: from d = 5.7 m T on. A term n d² is visible from a d four times smaller on.
#
# `fit` is not tested: the suite knows neither its m nor its T, and its number of passes over the
# rows depends on the data, so that no exponent of it is exact at any d.
SIZES = tuple(
    (dim, neurons, steps) for dim in (64, 80) for neurons, steps in ((2, 4), (3, 3), (5, 2), (2, 5))
)


COUNTS = CountedOperations("multiply-adds and passes", direction="both", margin=MARGIN)


def case_of(link, dim, neurons, steps):
    return ExactCase("small", dim, 4 * dim, neurons, steps, 0.1, 1.0, link, key=0)


def doubled(case, what):
    """The case with one of d and n, m or T doubled."""
    twice = {name: 1 + (name == what) for name in DOUBLED}
    return case_of(
        case.link, twice["d and n"] * case.dim, twice["m"] * case.neurons, twice["T"] * case.steps
    )


def counted(trial, case):
    """The trainer's own counts for a case."""
    seed = trial.seed_of(case)
    activation, loss, dtype = next(iter(trial.trainer.supported(SMOOTH, LOSSES, DTYPES)))
    network, data = case.general_network(seed, dtype), case.data(seed, dtype)
    options = case.options(network, data, activation, loss)
    counts = trial.trainer.counted_trajectory(*network, *data, steps=case.steps, **options)
    n, d, m, steps = case.samples, case.dim, case.neurons, case.steps
    # A step needs all rows, and its two products share no work: RᵀX needs R, which needs X Wᵀ.
    for name, least in (("multiply_adds", 2 * n * m * d * steps), ("design_passes", steps)):
        where = f"{steps} steps at n={n}, m={m}, d={d}"
        trial.on(COUNTS).at_least(name, counts[name], least, where)
    return counts


@claim(
    id="arithmetic",
    statement=(
        "T steps take C n m d T multiply-adds and C' T passes over the data, C and C' constants: "
        "Õ(d²) for n = Õ(d) and m, T = Õ(1)."
    ),
    source="abstract: 'in Õ(d²) time'; theory.md §2, Cost; §3, E5",
    assumptions=("dense X, any W, a, b, β", "smooth σ", "counted operations, not seconds"),
    measures=(
        "The trainer's own counts at n = 4d, and with d and n, m or T doubled. Multiply-adds fail "
        "from exponent 2, 1 or 1 plus 1/2 on, passes from 0, 0 or 1 plus 1/2 on; and below "
        "2 n m d T, the products X Wᵀ and RᵀX of every step, or T passes."
    ),
    needs="operation counts",
    decisions=COUNTS,
    cases=choices([case_of(link, *sizes) for sizes in SIZES for link in ("z1z2", "abs")]),
)
def arithmetic(trial, case):
    for method in trial.trainer.first_layer_methods:  # each has counts of its own
        trial.trainer.train_by(method)
        counts = counted(trial, case)
        for what, exponents in DOUBLED.items():
            larger = counted(trial, doubled(case, what))
            for name, exponent in exponents.items():
                trial.on(COUNTS).grows(name, (counts[name], larger[name]), what, exponent)
    size = 2 * case.samples * case.neurons * case.dim * case.steps
    trial.on(COUNTS).report(
        multiply_adds_over_2nmdT=counts["multiply_adds"] / size,
        passes_per_step=counts["design_passes"] / case.steps,
    )
