"""Expected failures: a text file that the user keeps.

One claim per line, `claim-id: reason`; blank lines and lines that begin with # are skipped.
"""

from __future__ import annotations

from pathlib import Path

from mimverify.support.errors import InputError

__all__ = ["read_expected_failures"]


def read_expected_failures(path: str | Path) -> dict[str, str]:
    """Claim id → reason. **Raises** `InputError` naming the file and the invalid line."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected failures {str(path)!r}: cannot be read ({error})") from None
    expected: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, colon, reason = (part.strip() for part in text.partition(":"))
        if not colon or not name or not reason:
            raise InputError(f"{path}:{number}: {text!r}: expected 'claim-id: reason'")
        if name in expected:
            raise InputError(f"{path}:{number}: claim {name!r} is listed twice")
        expected[name] = reason
    return expected
