"""Each stage is trained on its own data (theory.md §2, stage 1 and stage 2)."""

from mimverify.trial import (
    WELL_CONDITIONED,
    Event,
    above,
    claim,
    error_after_fit,
    learning_cases,
)

SHUFFLED = "test error, labels of stage {} shuffled"


@claim(
    id="fresh-readout",
    statement=(
        "The output weights are trained on stage 2's data: where those labels are independent of "
        "x, nothing is predicted, whatever the first layer has learned."
    ),
    source="abstract: 'layer-wise'; theory.md §2, stage 2",
    assumptions=("n = d log² d for each stage", "stage 2's labels permuted at random"),
    measures=(
        "Event per seed: less than a tenth of the variance is explained (normalised test error "
        "above 0.9). Sequential binomial test of P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("test error > 0.9", direction="above", quantity=SHUFFLED.format(2)),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(48, 56, 64), losses=("own",)),
    cost=1.5,
)
def fresh_readout(trial, case):
    def unlearned(seed):
        return above(error_after_fit(trial, case.link, case.dim, seed, shuffled="stage2"), 0.9)

    trial.decide(unlearned)


@claim(
    id="fresh-first-layer",
    statement=(
        "The first layer is trained on stage 1's data: where those labels are independent of x, "
        "it finds no subspace, and the output weights alone explain less than half."
    ),
    source="abstract: 'layer-wise'; theory.md §2, stage 1",
    assumptions=("n = d log² d for each stage", "stage 1's labels permuted at random"),
    measures=(
        "Event per seed: less than half of the variance is explained (normalised test error above "
        "1/2, below which it is with both stages' labels in place). Sequential binomial test of "
        "P ≥ 0.9 against P ≤ 0.5."
    ),
    needs="regression",
    decisions=Event("test error > 1/2", direction="above", quantity=SHUFFLED.format(1)),
    cases=learning_cases(links=WELL_CONDITIONED, dims=(64, 72, 80), losses=("own",)),
    cost=1.5,
)
def fresh_first_layer(trial, case):
    def unlearned(seed):
        return above(error_after_fit(trial, case.link, case.dim, seed, shuffled="stage1"), 0.5)

    trial.decide(unlearned)
