"""What the files of a package define is found without a list."""

from __future__ import annotations

import importlib
import py_compile
import sys
from pathlib import Path

import pytest

from mimverify.support.package_files import (
    constant_in,
    docstring_in,
    modules_of,
    names_of_modules,
    objects_in,
    objects_with_modules,
)


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


def test_objects_of_several_classes_come_with_their_modules(package):
    found = objects_with_modules(package, int, str, in_each=True)
    assert [value for _, value in found if value in (2, 1, "a", 3)] == [2, 1, "a", 3]
    assert {module for module, value in found if value == 3} == {"some_things.second"}


def test_a_file_without_what_is_expected_in_each_is_named(package):
    Path(package.__path__[0], "third.py").write_text("_FIVE = 5\n")
    assert objects_in(package, int) == (2, 1, 3)
    with pytest.raises(ImportError, match=r"^some_things\.third: expected an object of class int"):
        objects_with_modules(package, int, in_each=True)


#: A text with lines that look like beginnings of definitions, a constant within another, and a
#: module that must not be imported.
DECLARES = '''"""About
class KIND = 1
@nothing
"""
import no_such_module
if True:
    KIND = "hidden"
KIND = "first"
OTHER: str = "annotated"
SUM = 1 + len("not a literal")

def kind():
    """What it says
    def and more."""
NOTHING: int
KIND_OF = "late"
CLOSE="unspaced"
'''


@pytest.fixture
def declares(package):
    Path(package.__path__[0], "declares.py").write_text(DECLARES)
    return package


def test_a_constant_is_read_without_importing(declares):
    assert constant_in(declares, "declares", "KIND") == "first"
    assert constant_in(declares, "declares", "KIND_OF") == "late"
    assert constant_in(declares, "declares", "NOTHING") is None
    assert constant_in(declares, "first", "KIND") is None
    assert constant_in(declares, "first", "TEXT") == "a"
    assert constant_in(declares, "declares", "OTHER") == "annotated"
    assert constant_in(declares, "declares", "CLOSE") == "unspaced"
    # A mistake of the file's author.
    message = r"^some_things\.declares: SUM = 1 \+ len\('not a literal'\): expected a literal"
    with pytest.raises(ImportError, match=message):
        constant_in(declares, "declares", "SUM")
    assert "some_things.first" not in sys.modules


def test_a_docstring_is_read_without_importing(declares):
    assert docstring_in(declares, "declares", "kind") == "What it says\ndef and more."
    assert docstring_in(declares, "declares", "other") is None
    assert docstring_in(declares, "first", "ONE") is None
    assert "some_things.first" not in sys.modules


def test_without_source_the_module_is_imported(package, tmp_path):
    """An installation of byte code alone."""
    path = tmp_path / "some_things" / "first.py"
    py_compile.compile(str(path), cfile=str(path.with_suffix(".pyc")))
    path.unlink()
    importlib.invalidate_caches()
    assert names_of_modules(package) == ("first", "second")
    assert constant_in(package, "first", "TEXT") == "a"
    assert docstring_in(package, "first", "TEXT") is None
