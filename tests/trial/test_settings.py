"""One set of settings: every way to start a trial, and every record of one, has all of them."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import mimverify
from mimverify import InputError, numpy_trainer
from mimverify.cli.verbs.check import check as check_command
from mimverify.support.strict_json import Json
from mimverify.trial import PROFILES, Session, TrialSettings, load_claims, locate_pack
from mimverify.trial.running.capsule import load_capsule
from mimverify.trial.running.settings import spellings

PACK = Path(__file__).parents[1] / "helpers" / "same_claims.py"
NAMES = [item.name for item in fields(TrialSettings)]
#: A value for each setting that is not the default.
UNUSUAL: Json = {
    "pack": locate_pack(PACK),
    "profile": PROFILES["standard"],
    "claims": ("weak-feedback", "null-law"),
    "expression": "feedback",
    "workers": 2,
    "seed": 7,
    "budget": 1e-4,
    "time_limit": 2.5,
    "threads": 2,
    "expected_failures": {"null-law": "known"},
    "strict": True,
    "inconclusive": "xfail",
    "capsules": "kept",
}
#: Settings that only concern pytest.
OF_PYTEST = {"inconclusive"}


def unusual() -> TrialSettings:
    """All settings other than the default; numbers not listed here are larger by one."""
    usual = TrialSettings()
    values = {name: UNUSUAL.get(name, getattr(usual, name)) for name in NAMES}
    values |= {n: v + 1 for n, v in values.items() if n not in UNUSUAL and isinstance(v, int)}
    assert not [name for name in NAMES if values[name] == getattr(usual, name)]
    return TrialSettings(**values)


def test_settings_survive_json() -> None:
    for settings in (
        TrialSettings(),
        unusual(),
        TrialSettings(threads=None),
        TrialSettings(profile=replace(PROFILES["deep"], maximum_runs=7)),
    ):
        text = json.dumps(settings.to_json(), allow_nan=False)
        assert TrialSettings.from_json(json.loads(text)) == settings
        assert hash(settings) == hash(TrialSettings.from_json(json.loads(text)))


def test_names_and_files_are_resolved_once(tmp_path: Path) -> None:
    path = tmp_path / "expected.txt"
    path.write_text("null-law: known\n")
    made = TrialSettings.of(
        profile="Standard", claims="null-law", expected_failures=path, capsules=tmp_path
    )
    assert made.profile is PROFILES["standard"]
    assert made.claims == ("null-law",)
    assert made.expected_failures == {"null-law": "known"}
    assert made.capsules == str(tmp_path)
    assert made.call_seconds == PROFILES["standard"].call_seconds
    on_top = TrialSettings.of(made, seed=3, time_limit=1)
    assert (on_top.seed, on_top.claims, on_top.call_seconds) == (3, ("null-law",), 1.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile": "hasty"}, "profile='hasty'"),
        ({"profile": {"name": "mine"}}, "profile="),
        (
            {"profile": PROFILES["quick"].__dict__ | {"maximum_runs": "many"}},
            "profile.maximum_runs='many'",
        ),
        ({"profile": PROFILES["quick"].__dict__ | {"maximum_runs": 0}}, "profile.maximum_runs=0"),
        ({"profile": PROFILES["quick"].__dict__ | {"strength": 1.5}}, "profile.strength=1.5"),
        ({"profile": PROFILES["quick"].__dict__ | {"false_pass": 2}}, "profile.false_pass=2"),
        ({"claims": 5}, "claims=5"),
        ({"expression": 5}, "expression=5"),
        ({"capsules": 5}, "capsules=5"),
        ({"capsules": ""}, "capsules=''"),
        ({"claims": ["nul-law"]}, "did you mean 'null-law'"),
        ({"expression": "nosuchclaim"}, "holds for no claim"),
        ({"claims": "null-law", "expression": "feedback"}, "holds for no claim"),
        ({"workers": 0}, "workers=0"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"seed": 1.0}, "seed=1.0"),
        ({"budget": 1}, "budget=1"),
        ({"budget": float("nan")}, "budget=nan"),
        ({"time_limit": 0}, "time_limit=0"),
        ({"threads": 0}, "threads=0"),
        ({"expected_failures": "nosuchfile.txt"}, "cannot be read"),
        ({"expected_failures": ["null-law"]}, "expected claim ids with reasons"),
        ({"expected_failures": {"nul-law": "typo"}}, "did you mean 'null-law'"),
        ({"expected_failures": {"null_law": "typo"}}, "ids are spelled exactly"),
        ({"strict": 1}, "strict=1"),
        ({"inconclusive": "pass"}, "inconclusive='pass'"),
        ({"sed": 3}, "did you mean 'seed'"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(given: Json, words: str) -> None:
    with pytest.raises(InputError, match=None) as refused:
        TrialSettings.of(**given)
    assert words in str(refused.value)
    with pytest.raises(InputError):
        mimverify.check(numpy_trainer, **given)


def test_every_way_to_start_a_trial_takes_every_setting() -> None:
    for entry in (mimverify.check, mimverify.parametrize_with_claims, Session):
        assert set(NAMES) <= set(inspect.signature(entry).parameters), entry
    command = {parameter.name for parameter in check_command.params}
    assert set(NAMES) - OF_PYTEST <= command
    assert {name for name, spelling in spellings().items() if not spelling.flags} == OF_PYTEST


def test_the_command_line_hands_over_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option, by its flag, reaches the suite as one value."""
    from mimverify.trial.running.report import TrainerReport

    received: list[TrialSettings] = []

    def run_suite(trainer: str, settings: TrialSettings, **_: object) -> TrainerReport:
        received.append(settings)
        return TrainerReport(trainer)

    monkeypatch.setattr("mimverify.trial.running.runner.run_suite", run_suite)
    (tmp_path / "expected.txt").write_text("null-law: known\n")
    wanted = unusual()
    words = [*wanted.arguments(), "--expected-failures", str(tmp_path / "expected.txt")]
    done = CliRunner().invoke(check_command, ["numpy", *words], standalone_mode=False)
    assert done.exception is None, done.output
    usual = TrialSettings()
    assert received == [replace(wanted, **{name: getattr(usual, name) for name in OF_PYTEST})]


def test_a_profile_is_named_and_not_a_setting_by_itself() -> None:
    with pytest.raises(InputError, match=r"settings='standard'.*profile="):
        mimverify.check(numpy_trainer, "standard")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"profile\.maximum_runs=0"):
        replace(PROFILES["quick"], maximum_runs=0)


def test_what_a_command_line_cannot_say_is_left_out() -> None:
    made = TrialSettings.of(
        threads=None, budget=1.23456789e-6, expected_failures={"null-law": "y"}, inconclusive="skip"
    )
    assert made.arguments() == ["--budget", "1.23456789e-06"]


def test_workers_are_processes_also_from_python() -> None:
    for workers in (1, 2):
        with pytest.raises(mimverify.TrainerError, match="nosuchmodule"):
            mimverify.check("nosuchmodule:thing", workers=workers)
    report = mimverify.check("numpy", expression="power or feedback", workers=2)
    assert [v.id for v in report.trainers[0].verdicts] == ["power-iteration", "weak-feedback"]
    assert report.exit_code == 0
    with pytest.raises(InputError, match="runs in this process alone"):
        mimverify.check(numpy_trainer, workers=2)
    with pytest.raises(InputError, match="pytest runs the claims"):
        mimverify.parametrize_with_claims("numpy", workers=2)


def test_settings_are_in_reports_and_capsules(tmp_path: Path) -> None:
    class Broken(mimverify.LayerwiseTrainer):
        def trajectory(self, *args, **options):
            return super().trajectory(*args, **{**options, "beta": 0.0})

    settings = TrialSettings.of(seed=4, time_limit=9, claims="power-iteration", capsules=tmp_path)
    report = mimverify.check(Broken, settings)
    assert TrialSettings.from_json(report.to_json()["settings"]) == settings
    (verdict,) = report.trainers[0].verdicts
    capsule, _ = load_capsule(verdict.capsule)
    # The claim is named by the capsule itself.
    assert capsule.settings == replace(settings, claims=())
    assert verdict.reproduce.endswith(
        "--claim power-iteration --profile quick --seed 4 --time-limit 9"
    )


def test_pytest_has_an_option_for_every_setting_but_its_own() -> None:
    """`-k` and the number of processes are options of pytest and xdist."""
    assert {name for name, s in spellings().items() if not s.pytest} == {"expression", "workers"}


def test_a_selection_is_of_claims_that_are_there() -> None:
    assert set(TrialSettings().selected()) < set(load_claims())
    assert set(TrialSettings.of(profile="deep").selected()) == set(load_claims())
    assert "plateau" in TrialSettings.of(expression="plateau").selected()
