"""`mimverify new-pack`, and the page that walks through what it writes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import mimverify
from mimverify import InputError
from mimverify.cli.app import app

ROOT = Path(mimverify.__file__).parents[1]
PAGE = ROOT / "docs" / "your-own-theorem.md"


def run(*words: str) -> str:
    done = CliRunner().invoke(app, words, standalone_mode=False, catch_exceptions=False)
    return done.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("class", "expected the name of a Python package"),
        ("my-theorem", "expected the name of a Python package"),
        ("a/b", "expected the name of a Python package"),
        ("..", "expected the name of a Python package"),
        ("", "expected the name of a Python package"),
        ("random", "Python itself needs"),
        ("json", "Python itself needs"),
        ("numpy", "mimverify itself needs"),
        ("mimverify", "mimverify itself needs"),
        ("jaxtyping", "a module of that name is installed"),
        ("taken", "exists already"),
        ("taken_file", "exists already"),
        ("dangling", "exists already"),
    ],
)
def test_a_wrong_name_is_refused(
    name: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken_file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=words):
        run("new-pack", name)
    assert sorted(tmp_path.iterdir()) == before


def test_all_files_are_written_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written: list[Path] = []
    write_text = Path.write_text

    def full(self: Path, *args: object, **options: object) -> int:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(self)
        return write_text(self, *args, **options)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(InputError, match="cannot be written"):
            run("new-pack", "fresh_pack")
    assert len(written) == 2
    assert list(tmp_path.iterdir()) == []
    output = run("new-pack", "fresh_pack")
    files = ["__init__.py", "claims.py", "mutants.py", "test_fresh_pack.py"]
    assert sorted(path.name for path in (tmp_path / "fresh_pack").iterdir()) == files
    assert all(f"wrote fresh_pack/{file}" in output for file in files)
    assert [path.name for path in tmp_path.iterdir()] == ["fresh_pack"]
    texts = [(tmp_path / "fresh_pack" / file).read_text() for file in files]
    assert not any("NEW_PACK" in text for text in texts)
    assert (tmp_path / "fresh_pack").stat().st_mode & 0o777 == tmp_path_mode(tmp_path)


def tmp_path_mode(folder: Path) -> int:
    """The permissions of a folder that is made in the usual way."""
    (folder / "usual").mkdir()
    return (folder / "usual").stat().st_mode & 0o777


# -- the page ----------------------------------------------------------------------------------

#: A command with the exit code that the page gives, or a block of Python with its file.
PARTS = re.compile(
    r"^    (?P<command>mimverify [^\n#]*?) *(?:# exit code (?P<code>\d))?$"
    r"|^```python\n# (?P<file>\S+)\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    """Every command and every addition of docs/your-own-theorem.md, in its order."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = []
    for part in PARTS.finditer(PAGE.read_text(encoding="utf-8")):
        if part["file"]:
            with open(tmp_path / part["file"], "a", encoding="utf-8") as file:
                file.write(part["source"])
            continue
        words = shlex.split(part["command"])[1:]
        ran = subprocess.run(
            [sys.executable, "-m", "mimverify", *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == int(part["code"] or 0), part["command"] + ran.stdout + ran.stderr
        done.append(words[0])
    assert done == [
        "new-pack", "check", "check", "replay", "claims", "check", "power", "calibrate"
    ]  # fmt: skip


def test_the_skeletons_own_test_passes(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        run("new-pack", "fresh_pack")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "fresh_pack"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout
