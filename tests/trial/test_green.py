"""Green means verified: exit codes from Python, and what pytest makes of what is undecided."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import mimverify
from mimverify import LayerwiseTrainer, numpy_trainer
from mimverify.trial import PROFILES, Session, Status, TrialSettings, load_claims, suite_path
from mimverify.trial.running.plugin import conclude
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.verdict import Verdict

ROOT = Path(mimverify.__file__).parents[1]
#: Two runs decide nothing: claims with statistical decisions are inconclusive, however fast.
HASTY = replace(PROFILES["quick"], maximum_runs=2)


class NoDecay(LayerwiseTrainer):
    def trajectory(self, *args, **options):
        return super().trajectory(*args, **{**options, "beta": 0.0})


class Narrow(LayerwiseTrainer):
    activations = ("relu",)  # fewer than the other has


@pytest.mark.parametrize(
    ("trainer", "claims", "more", "usual", "strict"),
    [
        (numpy_trainer, ("weak-feedback",), {}, 0, 0),
        (NoDecay, ("weak-feedback", "power-iteration"), {}, 1, 1),
        (NoDecay, ("power-iteration",), {"expected_failures": {"power-iteration": "no β"}}, 3, 3),
        (
            NoDecay,
            ("power-iteration", "arithmetic"),
            {"expected_failures": {"power-iteration": "no β"}},
            0,
            0,
        ),
        (numpy_trainer, ("weak-feedback",), {"expected_failures": {"weak-feedback": "x"}}, 0, 3),
        (numpy_trainer, ("span-recovery",), {"profile": HASTY}, 3, 3),
        (numpy_trainer, ("span-recovery", "weak-feedback"), {"profile": HASTY}, 0, 3),
        (Narrow, ("span-recovery",), {}, 3, 3),
        (Narrow, ("span-recovery", "equivariance"), {}, 0, 3),
    ],
)
def test_the_code_says_what_was_verified(trainer, claims, more, usual, strict) -> None:
    made = mimverify.check(trainer, claims=claims, **more)
    assert made.exit_code == usual
    # `strict` changes what a report is worth, not its verdicts.
    (found,) = made.trainers
    again = Report(made.settings, [replace(found, strict=True)])
    assert again.exit_code == strict
    assert usual == 1 or bool(found.unverified) == (usual == 3)


def test_strict_reaches_the_report() -> None:
    settings = TrialSettings.of(strict=True, profile=HASTY, claims="span-recovery")
    for workers, trainer in ((1, numpy_trainer), (2, "numpy")):
        report = mimverify.check(trainer, settings, workers=workers)
        assert [one.strict for one in report.trainers] == [True]


def test_every_status_is_decided_undecided_or_bad() -> None:
    """A new status has to say what it is worth."""
    for status in Status:
        undecided = Verdict("a", status).undecided
        neutral = status in (Status.NOT_APPLICABLE, Status.EXPECTED_FAILURE)
        assert [status.bad, status.verified, neutral, undecided].count(True) == (
            2 if status is Status.UNEXPECTED_PASS else 1
        )
        assert set(TrainerReport("x", [Verdict("a", status)]).summary) == set(map(str, Status))


OUTCOMES = {
    # status: outcome with inconclusive = fail, skip, xfail, and with strict
    Status.PASSED: ("pass", "pass", "pass", "pass"),
    Status.UNEXPECTED_PASS: ("pass", "pass", "pass", "fail"),
    Status.FAILED: ("fail", "fail", "fail", "fail"),
    Status.ERROR: ("fail", "fail", "fail", "fail"),
    Status.INCONCLUSIVE: ("fail", "skip", "xfail", "fail"),
    Status.EXPECTED_FAILURE: ("xfail", "xfail", "xfail", "xfail"),
    Status.NOT_APPLICABLE: ("skip", "skip", "skip", "skip"),
}


def outcome(verdict: Verdict, **given: object) -> str:
    try:
        conclude(verdict, TrialSettings.of(**given))
    except pytest.xfail.Exception:  # a kind of failure to pytest, too
        return "xfail"
    except pytest.fail.Exception:
        return "fail"
    except pytest.skip.Exception:
        return "skip"
    return "pass"


@pytest.mark.parametrize("status", list(Status))
def test_what_pytest_makes_of_a_verdict(status: Status) -> None:
    made = Verdict("null-law", status, "why")
    seen = [outcome(made, inconclusive=how) for how in ("fail", "skip", "xfail")]
    strict = {outcome(made, inconclusive=how, strict=True) for how in ("fail", "skip", "xfail")}
    assert len(strict) == 1
    assert (*seen, *strict) == OUTCOMES[status]
    assert outcome(made) == seen[0]  # the default


def test_not_applicable_without_need_fails_strict_suites() -> None:
    avoidable = Verdict("null-law", Status.NOT_APPLICABLE, "why", avoidable=True)
    assert outcome(avoidable) == "skip"
    assert outcome(avoidable, strict=True) == "fail"
    assert Verdict.from_json(avoidable.to_json()) == avoidable


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
        env=plain | {"PYTHONPATH": f"{ROOT}:{folder}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 1, "1 failed, 1 passed"),
        (("--trial-inconclusive=skip",), 0, "1 passed, 1 skipped"),
        (("--trial-inconclusive=xfail", "--deselect", "test_power_iteration.py"), 5, "1 xfailed"),
        (("--trial-inconclusive=skip", "--trial-strict"), 1, "inconclusive: span-recovery."),
    ],
)
def test_the_suites_options(
    tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "hasty.py").write_text(
        "from dataclasses import replace\n"
        "from mimverify.trial import PROFILES\n"
        "PROFILES['quick'] = replace(PROFILES['quick'], maximum_runs=2)\n"
    )
    done = run(
        tmp_path, "-p", "hasty", str(suite_path()), "--trainer", "numpy", "--trial-profile",
        "quick", "--claim", "span-recovery", "--claim", "weak-feedback", *options,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert words in done.stdout


def test_a_users_suite_follows_the_setting(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "import mimverify\n"
        "from dataclasses import replace\n"
        "from mimverify.trial import PROFILES\n"
        "hasty = replace(PROFILES['quick'], maximum_runs=2)\n"
        "def suite(**settings):\n"
        "    return mimverify.parametrize_with_claims(\n"
        "        mimverify.numpy_trainer, claims='span-recovery', profile=hasty, **settings)\n"
        "@suite()\n"
        "def test_default(claim):\n"
        "    claim()\n"
        "@suite(inconclusive='skip')\n"
        "def test_skip(claim):\n"
        "    claim()\n"
        "@suite(inconclusive='xfail')\n"
        "def test_xfail(claim):\n"
        "    claim()\n"
        "@suite(inconclusive='xfail', strict=True)\n"
        "def test_strict(claim):\n"
        "    claim()\n"
    )
    done = run(tmp_path, str(tmp_path))
    assert "2 failed, 1 skipped, 1 xfailed" in done.stdout, done.stdout


def test_an_unknown_expected_failure_is_a_wrong_use_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("nul-law: never\n")
    done = run(
        tmp_path, str(suite_path()), "--trainer", "numpy", "--expected-failures", "known.txt"
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "known.txt:1: claim='nul-law': expected one of" in done.stderr
    assert "did you mean 'null-law'" in done.stderr


def test_a_misspelt_declaration_is_asked_about() -> None:
    def message(declared: str) -> str:
        trainer = type("Declares", (LayerwiseTrainer,), {"losses": (declared,)})
        with Session(trainer, profile=PROFILES["quick"], claims=["gradient-step"]) as session:
            verdict = session.verdict(load_claims()["gradient-step"])
        assert verdict.status is Status.NOT_APPLICABLE
        return verdict.message

    assert "declares as losses hubber; did you mean 'huber'?" in message("hubber")
    assert message("mine").endswith("declares as losses mine")
