"""The alignment for inputs that are not Gaussian, along spread-out directions and along an axis.

    python other_inputs.py [runs]

Prints the mean over runs with its standard error, and what is predicted: for Gaussian inputs, and
with the first-order effect of the kurtosis.
"""

import sys

import numpy as np
from scipy.special import expit

from mimverify import LayerwiseTrainer, MultiIndexModel, alignment, get_inputs
from mimverify.theory import kurtosis_shift, predict_trajectory

LAWS = ("gaussian", "rademacher", "uniform", "sphere", "gaussian-mixture", "student-t:5", "ar:0.6")
LINK, DIM, SAMPLES, STEPS, NEURONS = "cos2z", 256, 4096, 4, 64
NOISE = 0.01  # cos 2z of a sign along an axis is constant, and constant labels are refused


def measured(law: str, subspace: str, runs: int) -> str:
    """Mean alignment and its standard error, as text."""
    found = []
    for seed in range(runs):
        model = MultiIndexModel(LINK, DIM, inputs=law, subspace=subspace, noise=NOISE, seed=seed)
        data = model.sample(SAMPLES)
        trainer = LayerwiseTrainer(neurons=NEURONS, steps=STEPS, random_state=seed)
        trainer.fit_first_layer(data.X, data.y)
        found.append(alignment(trainer.network_.W, model.subspace))
    return f"{np.mean(found):.3f} ± {np.std(found) / np.sqrt(runs):.3f}"


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    gaussian = predict_trajectory(LINK, dim=DIM, samples=SAMPLES, steps=STEPS)
    odds, deviation = gaussian.run_log_odds(NEURONS // 2)
    effect = kurtosis_shift(LINK, excess_kurtosis=1.0, dim=DIM, samples=SAMPLES, steps=STEPS)
    print(f"one run of Gaussian inputs: log-odds {odds[-1]:.2f} ± {deviation[-1]:.2f}")
    print(f"{'inputs':<18}{'kurtosis':>9}{'predicted':>11}{'spread out':>16}{'an axis':>16}")
    for law in LAWS:
        kurtosis = get_inputs(law).excess_kurtosis
        known, predicted = "", ""
        if kurtosis is not None:
            known = f"{kurtosis:.2f}"
            predicted = f"{expit(odds[-1] + kurtosis * effect[-1]):.3f}"
        cells = [measured(law, subspace, runs) for subspace in ("haar", "axes")]
        print(f"{law:<18}{known:>9}{predicted:>11}{cells[0]:>16}{cells[1]:>16}")


if __name__ == "__main__":
    main()
