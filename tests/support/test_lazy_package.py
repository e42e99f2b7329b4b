"""Tests of packages whose names are imported when they are used."""

from __future__ import annotations

import ast
import compileall
import pickle
import pkgutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import mimverify

ROOT = Path(mimverify.__file__).parent
LAZY = sorted(
    ".".join(path.parent.relative_to(ROOT.parent).parts)
    for path in ROOT.rglob("__init__.py")
    if "lazy_names(__name__, __file__)" in path.read_text(encoding="utf-8")
)


def names_for_type_checkers(package: str) -> set[str]:
    tree = ast.parse(Path(str(import_module(package).__file__)).read_bytes())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name
        for line in block.body
        if isinstance(line, ast.ImportFrom | ast.Import)
        for alias in line.names
    }


def test_there_are_some() -> None:
    assert {"mimverify.theory", "mimverify.trial", "mimverify.native"} <= set(LAZY)


@pytest.mark.parametrize("package", LAZY)
def test_no_name_is_that_of_a_module(package: str) -> None:
    """Importing the module would put it in the name's place, at a time that nobody sees."""
    module = import_module(package)
    modules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert not modules & names_for_type_checkers(package)


@pytest.mark.parametrize("package", LAZY)
def test_what_type_checkers_see_is_what_is_there(package: str) -> None:
    module, names = import_module(package), names_for_type_checkers(package)
    assert set(module.__all__) == names
    assert names <= set(dir(module))
    starred: dict[str, object] = {}
    exec(f"from {package} import *", starred)
    for name in names:
        assert starred[name] is getattr(module, name)
    with pytest.raises(AttributeError, match=rf"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_what_is_handed_out_can_be_sent_to_other_processes() -> None:
    for package in LAZY:
        module = import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value) and getattr(value, "__module__", "").startswith("mimverify"):
                assert pickle.loads(pickle.dumps(value)) is value


SOURCES = {
    "__init__.py": """
from typing import TYPE_CHECKING
from {helper} import lazy_names
if TYPE_CHECKING:
    from lazy_example.first import one, two as second
    from lazy_example.inner.last import three
__all__ = ["one", "second", "three"]
__getattr__, __dir__ = lazy_names(__name__, __file__)
""",
    "first.py": "one, two = 1, 2\n",
    "inner/__init__.py": "",
    "inner/last.py": "three = 3\n",
}


@pytest.mark.parametrize("form", ["files", "archive", "byte code"])
def test_installed_in_any_form(form: str, tmp_path: Path) -> None:
    for name, text in SOURCES.items():
        path = tmp_path / "lazy_example" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text.replace("{helper}", "mimverify.support.lazy_package"))
    place = tmp_path
    files = sorted((tmp_path / "lazy_example").rglob("*.py"))
    if form == "archive":
        place = tmp_path / "packages.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for path in files:
                archive.write(path, path.relative_to(tmp_path))
    if form == "byte code":
        assert compileall.compile_dir(tmp_path / "lazy_example", quiet=1, legacy=True)
    if form != "files":
        for path in files:
            path.unlink()
    code = (
        f"import sys; sys.path.insert(0, {str(place)!r})\n"
        "import lazy_example\n"
        "assert 'lazy_example.first' not in sys.modules\n"
        "assert {'one', 'second', 'three'} <= set(dir(lazy_example))\n"
        "from lazy_example import *\n"
        "print(one, second, three)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("1 2 3\n", "")
