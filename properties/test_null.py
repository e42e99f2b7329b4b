"""Without signal nothing is learned, by an exact law (theory.md §4, D6; §6, N1)."""

import numpy as np

from mimverify import MultiIndexModel, alignment
from mimverify.statistics import null_overlap_cdf, uniformity_test
from mimverify.trial import claim, first_layer, learning_cases


@claim(
    id="null-law",
    statement=(
        "With labels independent of x, ‖U ŵ‖² of a neuron follows Beta(r/2, (d − r)/2) exactly, "
        "at every t."
    ),
    source="theory.md §4, D6",
    assumptions=("labels independent of x", "W0 isotropic", "one neuron per run"),
    measures=(
        "Exact two-sided Kolmogorov–Smirnov test of the Beta law over independent runs, at "
        "t = 1 and t = T."
    ),
    needs="first layer",
    decisions=2,
)
def test_null_law(trial):
    def check(case):
        steps, n = 4, 4 * case.dim
        overlaps: dict[int, list[float]] = {1: [], steps: []}
        for index in range(trial.profile.null_samples):
            trial.check_time()
            seed = trial.seed_of(case, index)
            trial.trainer.fresh(seed)
            model = MultiIndexModel(case.link, case.dim, seed=seed)
            other = MultiIndexModel(case.link, case.dim, seed=trial.seed_of(case, index, "labels"))
            weights = first_layer(
                trial.trainer, model, n, loss=case.loss, steps=steps, neurons=2, seed=seed,
                labels=other.sample(n).y,
            )  # fmt: skip
            for t in overlaps:
                overlaps[t].append(alignment(weights[t, :1], model.subspace))
        for t, values in overlaps.items():
            law = null_overlap_cdf(values, rank=model.rank, dim=case.dim)
            test = uniformity_test(np.clip(law, 0, 1), alpha=trial.ledger.share)
            trial.statistic = max(trial.statistic or 0.0, test.distance)
            trial.evidence |= {
                "statistic": "Kolmogorov–Smirnov distance to the Beta law, larger of both steps",
                "runs": test.samples,
                "summary": f"D {trial.statistic:.2g} in {test.samples} runs",
                "p_value": min(test.p_value, trial.evidence.get("p_value", 1.0)),
                "caught": (
                    f"a law at distance ≥ {min(test.detectable, 1):.2g} from the null law fails "
                    "with probability ≥ 0.95"
                ),
                "detectable": {
                    "what": "distance to the null law",
                    "symbol": "D",
                    "sign": "≥",
                    "value": min(test.detectable, 1),
                    "power": 0.95,
                },
                "case": repr(case),
            }
            if trial.rejects(test.p_value):
                trial.fail(
                    f"t = {t}: overlaps with a subspace that the labels know nothing of are at "
                    f"distance {test.distance:.3f} from the Beta law, p = {test.p_value:.2g} "
                    f"({case})"
                )

    trial.for_each(learning_cases(links=("z1z2", "cos2z", "tanh3"), dims=(16, 12, 24)), check)
