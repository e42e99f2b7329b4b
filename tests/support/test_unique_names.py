"""No two records may have spellings of one name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mimverify.support.unique_names import by_name


@dataclass(frozen=True)
class Record:
    name: str


def test_records_keep_their_order() -> None:
    assert list(by_name([("second", Record("b")), ("first", Record("a"))])) == ["b", "a"]


@pytest.mark.parametrize("other", ["log-cosh", "LogCosh", "log_cosh"])
@pytest.mark.parametrize("file", ["first", "second"])
def test_two_spellings_of_one_name_are_refused(other: str, file: str) -> None:
    message = rf"^{file}: '{other}' is defined already \('log-cosh' in first\): expected a name"
    with pytest.raises(ImportError, match=message):
        by_name([("first", Record("log-cosh")), (file, Record(other))])
