"""Exit codes: the same numbers for every verb, and what 0 and 1 say of each.

docs/verdicts.md has the table; a test compares both.
"""

from __future__ import annotations

__all__ = ["COMMON", "OUTPUT_LOST", "VERBS", "exit_codes", "keeps"]

#: Of a run whose output could not be written.
OUTPUT_LOST = 4

#: What 0 and, if the verb has it, 1 say.
VERBS: dict[str, tuple[str, str | None]] = {
    "train": ("the run is complete", "it diverged, or a process of it died"),
    "fit": ("the run is complete", "it diverged"),
    "check": ("nothing failed", "a claim failed or errored"),
    "replay": ("it does not fail any more", "it still fails"),
    "claims": ("listed", None),
    "power": (
        "every mutant was caught",
        "a mutant survived or, in a full matrix, a claim caught nothing and is not justified",
    ),
    "calibrate": (
        "no level is exceeded",
        "alarms are more frequent than a level allows, or a claim could not be tried",
    ),
    "inspect": ("whatever was found", None),
    "predict": ("predicted", None),
    "compare": (
        "no contradiction",
        "a gap beyond 1 % that chance does not explain",
    ),
    "limits": ("whatever was found", None),
    "scaling": ("measured", "a run diverged"),
    "history": ("shown, and no gate failed", "the gate failed"),
    "bench": ("timed", "a process of it died"),
}

#: The codes that mean the same for every verb.
COMMON: dict[str, str] = {
    "2": "wrong usage or input",
    "4": "the output could not be written",
    "130": "after Ctrl-C",
    "143": "after SIGTERM",
}


def exit_codes(verb: str) -> str:
    """The sentence at the end of a verb's help."""
    success, failure = VERBS[verb]
    own = [f"0 {success}"] + ([] if failure is None else [f"1 {failure}"])
    common = [f"{code} {meaning}" for code, meaning in COMMON.items() if not keeps(verb, code)]
    sentence = f"Exit code: {'; '.join(own + common)}."
    return sentence + (" Output that cannot be written changes none." if verb == "check" else "")


def keeps(verb: str, code: str) -> bool:
    """Whether the code is none of the verb's: a verdict of `check` outlives its output."""
    return verb == "check" and code == str(OUTPUT_LOST)
