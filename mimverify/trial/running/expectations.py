"""Expected failures: a text file that the user keeps.

One claim per line, `claim-id: reason`; blank lines and lines that begin with # are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mimverify.support.errors import InputError
from mimverify.support.files import reason_of
from mimverify.support.strict_json import brief
from mimverify.support.validation import choice
from mimverify.trial.claims.claim import Claim, load_claims

__all__ = ["check_expected_failures", "read_expected_failures"]

_LARGEST = 1 << 20  # bytes


def read_expected_failures(
    path: str | Path, claims: Mapping[str, Claim] | None = None
) -> dict[str, str]:
    """Claim id → reason, for ids of `claims`; mimverify's own by default.

    **Raises** `InputError` naming the file and the invalid line, such as one about a claim that
    does not exist: the failure that it was to excuse has another name, or is gone.
    """
    where = f"expected failures {str(path)!r}"
    known = load_claims() if claims is None else claims
    try:
        with open(path, "rb") as file:  # a pipe, too: <(…) of a shell is one
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(f"{where}: more than {_LARGEST} bytes: expected a list of claims")
        lines = content.decode("utf-8-sig").splitlines()  # editors may begin it with a mark
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: cannot be read ({reason_of(error)})") from None
    expected: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, reason = (part.strip() for part in text.partition(":"))
        if not colon or not name or not reason:
            raise InputError(f"{path}:{number}: {brief(text)}: expected 'claim-id: reason'")
        if name in expected:
            raise InputError(f"{path}:{number}: claim {brief(name)} is listed twice")
        _check_claim(f"{path}:{number}: claim", name, known)
        expected[name] = reason
    return expected


def check_expected_failures(
    name: str, expected: Mapping[str, str], claims: Mapping[str, Claim]
) -> None:
    """**Raises** `InputError`, naming the setting `name`, for a claim that does not exist."""
    for claim in expected:
        _check_claim(name, claim, claims)


def _check_claim(where: str, claim: str, claims: Mapping[str, Claim]) -> None:
    if claim not in claims:
        choice(where, claim, claims)  # raises, with the nearest id
        raise InputError(f"{where}={brief(claim)}: ids are spelled exactly")
