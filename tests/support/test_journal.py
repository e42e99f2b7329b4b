"""Journals: what a long run has finished, kept line by line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mimverify.support.errors import InputError, OutputError
from mimverify.support.journal import Journal

RUN = {"seed": 0, "versions": {"numpy": "2.0"}, "levels": (0.1, 0.01)}


def filled(path: Path, count: int = 2) -> Journal:
    journal = Journal(path, "power", RUN, resume=False)
    for k in range(count):
        journal.add({"unit": k, "value": float("nan"), "text": "two\nlines, µ"})
    return journal


def reopened(path: Path, **changed: object) -> Journal:
    return Journal(path, "power", {**RUN, **changed}, resume=True)


def test_records_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    assert filled(path).records == []
    again = reopened(path)
    assert [record["unit"] for record in again.records] == [0, 1]
    assert again.records[0] == {"unit": 0, "value": None, "text": "two\nlines, µ"}
    again.add({"unit": 2})
    assert len(reopened(path).records) == 3
    for line in path.read_text(encoding="utf-8").splitlines():
        json.loads(line)


def test_a_file_that_is_not_there_is_begun_with_or_without_resume(tmp_path: Path) -> None:
    assert reopened(tmp_path / "new.jsonl").records == []
    assert reopened(tmp_path / "new.jsonl").records == []


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_line_without_an_end_is_dropped_and_written_anew(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "run.jsonl"
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    journal = reopened(path)
    assert [record["unit"] for record in journal.records] == [0]
    journal.add({"unit": 1})
    assert [record["unit"] for record in reopened(path).records] == [0, 1]


def test_finished_work_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    filled(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="holds 2 finished trials: expected --resume"):
        filled(path)
    assert path.read_bytes() == before
    filled(tmp_path / "empty.jsonl", count=0)
    filled(tmp_path / "empty.jsonl")  # nothing was lost


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"versions": {"numpy": "2.1"}}, "versions.numpy was '2.0' and is '2.1'"),
        ({"versions": {}}, "versions was 'missing' and is {}"),
        ({"levels": (0.1,)}, "levels was"),
        ({"more": True}, "more was 'missing' and is True"),
    ],
)
def test_another_runs_journal_is_refused_with_the_difference(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    path = tmp_path / "run.jsonl"
    filled(path)
    with pytest.raises(InputError) as caught:
        reopened(path, **changed)
    assert f"is of another run: {words}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no checkpoint of `mimverify power`"),
        (b"[1]\n", "line 1: \\[1\\]: no object"),
        (b"not json\n", "line 1: no valid JSON"),
        (b'{"journal": "calibrate", "format": 1, "run": {}}\n', "is no checkpoint"),
        (b'{"journal": "power", "format": 2, "run": {}}\n', "has format 2: expected 1"),
        (b'{"journal": "power", "format": 1, "run": {}}\n{"a": NaN}\n', "line 2: no valid JSON"),
    ],
)
def test_what_is_no_journal_is_refused_and_kept(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(content)
    for resume in (False, True):
        with pytest.raises(InputError, match=words):
            Journal(path, "power", RUN, resume=resume)
    assert path.read_bytes() == content


def test_a_journal_is_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no regular file"):
        Journal(os.devnull, "power", RUN, resume=False)
    with pytest.raises(InputError, match="is a folder"):
        Journal(tmp_path, "power", RUN, resume=True)


def test_a_record_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    journal = filled(tmp_path / "run.jsonl")
    (tmp_path / "run.jsonl").unlink()
    with pytest.raises(OutputError, match=r"run\.jsonl"):
        journal.add({"unit": 3})
