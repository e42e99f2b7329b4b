"""The field's words: those of an earlier dialect stay out of code and pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mimverify

ROOT = Path(mimverify.__file__).parents[1]
#: What an engineer says instead is in docs/glossary.md.
DIALECT = (
    "adopters?", "animals?", "house", "loud", "moods?", "remembered", "rooms?", "settled", "slabs?",
    "strips", "threads_in_force", "twins?", "write_whole", "_tell",
)  # fmt: skip


@pytest.mark.parametrize("word", DIALECT)
def test_a_word_of_the_dialect_is_not_used(word: str) -> None:
    pattern = re.compile(rf"(?<![\w-]){word}(?![\w-])", re.IGNORECASE)
    files = [*(ROOT / "mimverify").rglob("*.py"), *(ROOT / "properties").glob("*.py")]
    files += [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)
