"""What the files of a package define is found without a list."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mimverify.support.package_files import modules_of, names_of_modules, objects_in


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "some_things"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "second.py").write_text("from some_things.first import ONE\nTHREE = 3\n_FOUR = 4\n")
    (folder / "first.py").write_text("TWO, ONE = 2, 1\nTEXT = 'a'\n")
    (folder / "_hidden.py").write_text("raise AssertionError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("some_things")
    for name in [name for name in sys.modules if name.partition(".")[0] == "some_things"]:
        del sys.modules[name]


def test_names_are_sorted_and_nothing_is_imported(package):
    assert names_of_modules(package) == ("first", "second")
    assert "some_things.first" not in sys.modules


def test_modules_are_imported(package):
    assert [module.__name__ for module in modules_of(package)] == [
        "some_things.first", "some_things.second",
    ]  # fmt: skip


def test_objects_come_in_the_order_of_their_definition_and_once(package):
    assert objects_in(package, int) == (2, 1, 3)
