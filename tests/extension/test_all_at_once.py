"""All the new files in one trial: nothing that one of them brings is in another's way."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Extended = Callable[..., "subprocess.CompletedProcess[str]"]

#: Trains on the new backend, through the new design, with the new activation and loss too.
_OWN = """
from mimverify import LayerwiseTrainer
from mimverify.backends import get_backend
from mimverify.designs import StoredDesign
from mimverify.experiment.designs.halves import Halves

USED = {}

class Trainer(LayerwiseTrainer):
    activations = ("log-cosh", "welsch")
    losses = ("huber", "squared", "fair")

    def __init__(self):
        super().__init__(backend="plain_clone", activation="welsch", loss="fair")

    def fit_first_layer(self, X, y, **options):
        backend, half = get_backend(self.backend, X.dtype.name), len(X) // 2
        design = Halves(*(StoredDesign(rows, backend) for rows in (X[:half], X[half:])))
        return super().fit_first_layer(design, y, **options)
"""


def test_a_trial_of_all_of_them(extended: Extended, tmp_path: Path) -> None:
    """A trainer made of the new things is verified, and the new mutant beside it is caught."""
    (tmp_path / "own.py").write_text(_OWN)
    found = extended(
        "-m", "mimverify", "check", "own:Trainer", "mimverify.zoo:RankOneGradients",
        "--claim", "gradient-step", "--claim", "refit", "--json", "-", code=1,
    )  # fmt: skip
    trainers = json.loads(found.stdout)["trainers"]
    statuses = [
        {verdict["id"]: verdict["status"] for verdict in trainer["claims"]} for trainer in trainers
    ]
    assert set(statuses[0].values()) == {"passed"}, trainers[0]
    assert statuses[1]["gradient-step"] == "failed", trainers[1]


def test_the_new_verb_is_listed_beside_the_others(extended: Extended) -> None:
    shown = extended("-m", "mimverify", "--help").stdout
    assert "list-links" in shown
