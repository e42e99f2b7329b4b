"""Exit codes: the same numbers for every verb, and what 0, 1 and 3 say of each.

docs/verdicts.md has the table; a test compares both.
"""

from __future__ import annotations

from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, OUTPUT_LOST, VERIFIED

__all__ = ["COMMON", "UNVERIFIED", "VERBS", "codes_of", "exit_codes", "keeps"]

#: What 0 and, if the verb has it, 1 say.
VERBS: dict[str, tuple[str, str | None]] = {
    "train": ("the run is complete", "it diverged, or a process of it died"),
    "fit": ("the run is complete", "it diverged"),
    "diagnose": ("yes: directions stand out beyond the linear part", None),
    "check": ("verified: claims passed, none failed", "a claim failed or errored"),
    "replay": ("the recorded example was tried and passed", "it still fails"),
    "claims": ("listed", None),
    "power": (
        "every mutant was caught",
        "a mutant survived or, in a full matrix, a claim caught nothing and is not justified",
    ),
    "calibrate": (
        "no level is exceeded",
        "alarms are more frequent than a level allows, or a claim could not be tried",
    ),
    "new-trainer": ("written", None),
    "new-pack": ("written", None),
    "inspect": ("whatever was found", None),
    "predict": ("predicted", None),
    "compare": (
        "no contradiction",
        "a gap beyond 1 % that chance does not explain",
    ),
    "limits": ("whatever was found", None),
    "thresholds": (
        "whatever was found",
        "an inequality that is a theorem is violated beyond the errors",
    ),
    "scaling": ("measured", "a run diverged"),
    "study": (
        "all trials that were to run are done, and no prediction is off",
        "a trial failed, a prediction is off (beyond 4σ), or the workers were lost",
    ),
    "history": ("shown, and no gate failed", "the gate failed"),
    "bench": ("timed", "a contender failed"),
}

#: What 3 says, if the verb has it: nothing failed, and nothing was verified either.
UNVERIFIED: dict[str, str] = {
    "diagnose": "no: nothing stands out, or nothing beyond the linear part",
    "check": "no claim passed, or with --strict something stayed undecided",
    "replay": "the recorded example was not tried, or passed with nothing known to be mended",
    "power": "no claim was decided on any mutant",
    "calibrate": "no trial counts, or too few to exceed any level",
    "compare": "nothing could be compared",
    "scaling": "nothing was measured",
    "study": "no trial is done",
    "history": "there are no values, or with --gate no ratio that has an earlier one",
    "bench": "nothing was timed",
}

#: The codes that mean the same for every verb.
COMMON: dict[str, str] = {
    "2": "wrong usage or input",
    str(OUTPUT_LOST): "the output could not be written",
    "130": "after Ctrl-C",
    "143": "after SIGTERM",
}


def exit_codes(verb: str) -> str:
    """The sentence at the end of a verb's help."""
    common = {code: what for code, what in COMMON.items() if not keeps(verb, code)}
    every = sorted((codes_of(verb) | common).items(), key=lambda entry: int(entry[0]))
    sentence = f"Exit code: {'; '.join(f'{code} {what}' for code, what in every)}."
    return sentence + (" Output that cannot be written changes none." if verb == "check" else "")


def codes_of(verb: str) -> dict[str, str]:
    """The codes with a meaning of their own for this verb."""
    success, failure = VERBS[verb]
    own = {VERIFIED: success, FAILED: failure, NOTHING_VERIFIED: UNVERIFIED.get(verb)}
    return {str(code): meaning for code, meaning in own.items() if meaning is not None}


def keeps(verb: str, code: str) -> bool:
    """Whether the code is none of the verb's: a verdict of `check` outlives its output."""
    return verb == "check" and code == str(OUTPUT_LOST)
