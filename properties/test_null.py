"""Without signal nothing is learned, by an exact law (theory.md §4, D6; §6, N1)."""

from mimverify import MultiIndexModel, alignment
from mimverify.statistics import null_overlap_cdf
from mimverify.trial import (
    CURVED_ACTIVATIONS,
    NAMED_ACTIVATIONS,
    Law,
    claim,
    first_layer,
    learning_cases,
)

STEPS = 4
LAWS = {1: Law("‖U ŵ‖² at t = 1", law="Beta law"), STEPS: Law("‖U ŵ‖² at t = T", law="Beta law")}


@claim(
    id="null-law",
    statement=(
        "With labels independent of x, ‖U ŵ‖² of a neuron follows Beta(r/2, (d − r)/2) exactly, "
        "at every t."
    ),
    source="theory.md §4, D6",
    assumptions=("labels independent of x", "W0 isotropic", "one neuron per run", "any σ, l"),
    measures=(
        "Exact two-sided Kolmogorov–Smirnov test of the Beta law over independent runs, at "
        "t = 1 and t = T."
    ),
    needs="first layer",
    decisions=tuple(LAWS.values()),
    cases=learning_cases(links=("z1z2", "cos2z", "tanh3"), dims=(16, 12, 24)),
    cost=2,
)
def null_law(trial, case):
    n = 4 * case.dim

    # A rotation of x and W0 together rotates every W_t (E4), whatever σ and l are.
    activations = tuple(dict.fromkeys((*CURVED_ACTIVATIONS, *NAMED_ACTIVATIONS)))

    def at_null(seed):
        model = MultiIndexModel(case.link, case.dim, seed=seed)
        labels = trial.seed_of(case, trial.run_index, "labels")
        other = MultiIndexModel(case.link, case.dim, seed=labels)
        weights = first_layer(
            trial.trainer, model, n, loss=case.loss, steps=STEPS, neurons=2, seed=seed,
            labels=other.sample(n).y, activations=activations,
        )  # fmt: skip
        seen = {}
        for t, law in LAWS.items():
            overlap = alignment(weights[t, :1], model.subspace)
            seen[law] = float(null_overlap_cdf(overlap, rank=model.rank, dim=case.dim))
        return seen

    trial.decide(at_null)
