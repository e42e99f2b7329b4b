"""Exit codes: the same numbers for every verb; what 0, 1 and 3 say of it, each verb declares.

docs/verdicts.md has the table; a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, OUTPUT_LOST, VERIFIED

__all__ = ["COMMON", "ExitCodes"]

#: The codes that mean the same for every verb.
COMMON: dict[str, str] = {
    "2": "wrong usage or input",
    str(OUTPUT_LOST): "the output could not be written",
    "130": "after Ctrl-C",
    "143": "after SIGTERM",
}


@dataclass(frozen=True)
class ExitCodes:
    """What a verb's exit codes say: the `EXIT_CODES` of its file. As text, the end of its help.

    **Arguments**

    - `success`: what 0 says.
    - `failure`: what 1 says; empty: the verb does not have it.
    - `unverified`: what 3 says, nothing failed and nothing was verified either; empty: not had.
    - `outlive_output`: whether output that cannot be written changes none: a verdict stands.
    """

    success: str
    failure: str = ""
    unverified: str = ""
    outlive_output: bool = False

    @property
    def own(self) -> dict[str, str]:
        """The codes with a meaning of their own for this verb."""
        meanings = {
            VERIFIED: self.success,
            FAILED: self.failure,
            NOTHING_VERIFIED: self.unverified,
        }
        return {str(code): meaning for code, meaning in meanings.items() if meaning}

    @property
    def common(self) -> dict[str, str]:
        """Those of `COMMON` that this verb has."""
        lost = str(OUTPUT_LOST) if self.outlive_output else ""
        return {code: meaning for code, meaning in COMMON.items() if code != lost}

    def __str__(self) -> str:
        every = sorted((self.own | self.common).items(), key=lambda entry: int(entry[0]))
        sentence = f"Exit code: {'; '.join(f'{code} {what}' for code, what in every)}."
        unchanged = " Output that cannot be written changes none."
        return sentence + (unchanged if self.outlive_output else "")
