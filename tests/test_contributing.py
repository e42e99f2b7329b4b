"""The worked examples of CONTRIBUTING.md, carried out as they stand in a copy of the sources."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mimverify
from mimverify.trial import suite_path

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

USES_IT = '''
"""Uses the new kind of decision: on a median of 1/4, and on one of 0.84."""

import numpy as np

from mimverify.trial import choices, claim
from mimverify.trial.decisions.median import MedianAtMost


def of_power(power):
    def procedure(trial, case):
        trial.decide(lambda seed: np.random.default_rng(seed).random() ** power)

    return procedure


RECORD = {"statement": "s", "source": "here", "measures": "m", "needs": "first layer",
          "decisions": MedianAtMost("the number"), "cases": choices((1,)), "profile": "deep"}
small = claim(id="small", **RECORD)(of_power(2))
large = claim(id="large", **RECORD)(of_power(0.25))
'''


def blocks(language: str) -> list[str]:
    return [
        text for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if name == language
    ]


def files() -> dict[str, str]:
    """Content of the files that the page writes, by their paths."""
    return {text.partition("\n")[0].removeprefix("# "): text for text in blocks("python")}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Package and suite, to be changed."""
    package = Path(mimverify.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__", "_properties")
    shutil.copytree(package, tmp_path / "mimverify", ignore=ignored)
    shutil.copytree(suite_path(), tmp_path / "properties", ignore=ignored)
    return tmp_path


def apply(diff: str, root: Path) -> None:
    """Each hunk once, where its old lines stand."""
    for part in re.split(r"^--- .*\n", diff, flags=re.MULTILINE)[1:]:
        heading, _, rest = part.partition("\n")
        path = root / heading.removeprefix("+++ b/")
        text = path.read_text(encoding="utf-8")
        for hunk in rest.split("@@\n")[1:]:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] != "+")
            assert text.count(old) == 1, (path, old)
            text = text.replace(old, "".join(line[1:] for line in lines if line[0] != "-"))
        path.write_text(text, encoding="utf-8")


def run(*words: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env=os.environ | {"PYTHONPATH": str(cwd)},
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def diff_of(place: str) -> str:
    """The diff that begins with this file."""
    (found,) = (text for text in blocks("diff") if text.startswith(f"--- a/{place}"))
    return found


def test_every_example_is_carried_out_below() -> None:
    assert list(files()) == [
        "my_parts.py",
        "mimverify/backends/clone_backend.py",
        "mimverify/zoo/update_rule.py (at its end)",
        "mimverify/cli/verbs/links.py",
        "properties/test_sign.py",
        "mimverify/trial/decisions/median.py",
    ]
    assert len(blocks("diff")) == 2


def test_the_table_names_what_there_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rows = text[text.index("| a new … |") :].partition("\n\n")[0]
    named = re.findall(r"`((?:mimverify|tests|properties)/[^`]*)`", rows)
    assert [path for path in named if not (PAGE.parent / path).exists()] == []


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A folder of one's own, with the parts that need no place in the package."""
    (tmp_path / "my_parts.py").write_text(files()["my_parts.py"])
    (tmp_path / "mimverify").symlink_to(Path(mimverify.__file__).parent)
    return tmp_path


def test_a_link_and_a_loss_are_named_by_their_place(parts: Path) -> None:
    words = ("--dim", "24", "--samples", "2000", "--readout-neurons", "16")
    shown = run("-m", "mimverify", "train", "my_parts:bump", "--loss", "my_parts:softer", *words,
                cwd=parts)  # fmt: skip
    assert "alignment" in shown


def test_an_activation_and_a_design_are_objects(parts: Path) -> None:
    run("-c", "import numpy as np, mimverify\n"
        "from mimverify.backends import get_backend\n"
        "from my_parts import Repeated, cosine\n"
        "data = mimverify.MultiIndexModel('z1z2', dim=12, seed=0).sample(400)\n"
        "def trained(X, y):\n"
        "    trainer = mimverify.LayerwiseTrainer(activation=cosine, neurons=8, steps=3)\n"
        "    return trainer.fit_first_layer(X, y).network_.W\n"
        "twice = Repeated(data.X, get_backend('numpy', 'float64'))\n"
        "first = trained(twice, np.concatenate([data.y, data.y]))\n"
        "np.testing.assert_allclose(first, trained(data.X, data.y), rtol=1e-9)\n",
        cwd=parts)  # fmt: skip


def test_a_competitor_is_a_row_of_the_table(parts: Path) -> None:
    shown = run("-m", "mimverify", "bench", "--dim", "32", "--neurons", "4", "--rounds", "1",
                "--contender", "numpy", "--contender", "my_parts:einsum", "--start", "general",
                cwd=parts)  # fmt: skip
    assert "einsum" in shown


def test_a_backend_is_a_file_and_a_line(copy: Path) -> None:
    name = "mimverify/backends/clone_backend.py"
    (copy / name).write_text(files()[name])
    apply(diff_of("mimverify/backends/registry.py"), copy)
    clone, plain = (
        json.loads(
            run("-m", "mimverify", "train", "z1z2", "--dim", "16", "--samples", "600", "--backend",
                backend, "--readout-neurons", "8", "--json", "-", cwd=copy)
        )
        for backend in ("clone", "numpy")
    )  # fmt: skip
    assert clone["steps"] == plain["steps"]


def test_a_mutant_is_a_class(copy: Path) -> None:
    name = "mimverify/zoo/update_rule.py (at its end)"
    place = copy / name.partition(" ")[0]
    text = files()[name].partition("\n")[2]
    place.write_text(f"{place.read_text()}\n\n{text}")
    shown = run("-m", "mimverify", "power", "--mutant", "ForgetsTheRate", "--fastest", cwd=copy)
    assert "1 of 1 mutants caught" in shown


def test_a_verb_is_a_file(copy: Path) -> None:
    (copy / "mimverify/cli/verbs/links.py").write_text(files()["mimverify/cli/verbs/links.py"])
    assert "cos2z" in run("-m", "mimverify", "links", cwd=copy).split()
    assert "links" in run("-m", "mimverify", "--help", cwd=copy)


def test_a_claim_is_one_function_in_one_file(copy: Path) -> None:
    (copy / "properties/test_sign.py").write_text(files()["properties/test_sign.py"])
    (copy / "mine.py").write_text(
        "import numpy as np\n"
        "from mimverify import LayerwiseTrainer\n"
        "class Rectifies(LayerwiseTrainer):\n"
        "    def trajectory(self, W0, a, b, X, y, **options):\n"
        "        return super().trajectory(W0, a, b, X, np.maximum(y, 0), **options)\n"
    )
    check = ("-m", "mimverify", "check", "--claim", "label-sign")
    shown = run(*check, "numpy", cwd=copy)
    assert "difference of alignments" in shown
    assert "label-sign: failed" in run(*check, "mine:Rectifies", cwd=copy, code=1)


def test_a_setting_is_two_places(copy: Path) -> None:
    diff = diff_of("mimverify/trial/running/settings.py")
    assert len(re.findall(r"^\+\+\+", diff, re.MULTILINE)) == 2
    apply(diff, copy)
    report = json.loads(
        run("-m", "mimverify", "check", "numpy", "--claim", "weak-feedback", "--parts", "2",
            "--json", "-", cwd=copy)
    )  # fmt: skip
    assert report["settings"]["parts"] == 2
    assert "--parts 2" in report["trainers"][0]["claims"][0]["reproduce"]
    assert "--trial-parts" in run("-m", "pytest", "properties", "--help", cwd=copy)
    run("-c", "import mimverify, inspect\n"
        "assert 'parts' in inspect.signature(mimverify.check).parameters\n"
        "with mimverify.trial.Session('numpy', parts=2) as s: assert s.settings.parts == 2\n",
        cwd=copy)  # fmt: skip


def test_a_kind_of_decision_is_one_file(copy: Path) -> None:
    name = "mimverify/trial/decisions/median.py"
    (copy / name).write_text(files()[name])
    (copy / "properties/test_median.py").write_text(USES_IT)
    # At the deep profile's 500 runs, and at the risk that a decision has in any run.
    words = ("-m", "mimverify", "check", "numpy", "--json", "-", "--profile", "deep", "--claim")
    passed, failed = (
        json.loads(run(*words, claim, cwd=copy, code=code))["trainers"][0]["claims"][0]
        for claim, code in (("small", 0), ("large", 1))
    )
    assert passed["evidence"]["decisions"][0]["kind"] == "median"
    assert passed["evidence"]["summary"].startswith("beyond 0.5 in ")
    assert failed["message"].startswith("the number: beyond 0.5 in 9")
    assert failed["evidence"]["false_alarm_level"] < 1e-8
