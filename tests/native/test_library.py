"""Tests of how the native library is built, found, chosen and refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mimverify.native import compiler, loadable_levels, native_library, pass_in_use, using
from mimverify.native import library as loading
from mimverify.support.errors import InputError

needs_library = pytest.mark.skipif(
    not loadable_levels(), reason="there is no native library here (no C compiler)"
)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """What was found so far is forgotten, before and afterwards."""

    def forget() -> None:
        loading._load.cache_clear()
        loading._choose.cache_clear()

    monkeypatch.delenv(loading.VARIABLE, raising=False)
    forget()
    yield monkeypatch
    forget()


def test_it_can_be_turned_off(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv(loading.VARIABLE, "0")
    assert native_library() is None
    assert pass_in_use() == ("numpy", "the native pass is turned off (MIMVERIFY_NATIVE=0)")


@needs_library
def test_a_level_can_be_forced(fresh: pytest.MonkeyPatch) -> None:
    assert pass_in_use() == (f"native {loadable_levels()[0]}", "")
    for level in loadable_levels():
        fresh.setenv(loading.VARIABLE, level)
        assert pass_in_use() == (f"native {level}", "")


def test_an_unknown_level_is_wrong_input(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv(loading.VARIABLE, "avx1024")
    with pytest.raises(InputError, match=r"MIMVERIFY_NATIVE='avx1024': expected 0, .*generic"):
        native_library()


@needs_library
def test_a_level_that_the_processor_lacks_is_refused(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(loading, "_runs", lambda handle, level: level == "none")
    assert native_library() is None
    with (
        using(loadable_levels()[0] if loadable_levels() else "generic"),
        pytest.raises(InputError, match="this processor does not have these instructions"),
    ):
        native_library()


def test_without_a_library_numpy_takes_over_and_says_why(
    fresh: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fresh.setattr(loading, "SOURCES", tmp_path)
    name, reason = pass_in_use()
    assert name == "numpy"
    assert reason.startswith("the native pass was not built")
    assert reason.endswith("python -m mimverify.native")
    with using("generic"), pytest.raises(InputError, match=r"MIMVERIFY_NATIVE='generic': .*built"):
        native_library()


def test_what_is_no_library_is_not_loaded(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / compiler.LIBRARY).write_bytes(b"of another machine")
    fresh.setattr(loading, "SOURCES", tmp_path)
    name, reason = pass_in_use()
    assert name == "numpy"
    assert f"{compiler.LIBRARY} cannot be loaded" in reason
    assert "\n" not in reason


@needs_library
@pytest.mark.parametrize("what", ["stamp", "INTERFACE_VERSION"])
def test_a_stale_library_is_not_used(fresh: pytest.MonkeyPatch, what: str) -> None:
    fresh.setattr(loading, what, (lambda: "0" * 32) if what == "stamp" else 0)
    assert pass_in_use()[0] == "numpy"
    assert "was built from other sources" in pass_in_use()[1]


def test_without_a_compiler_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "made.so"
    for command, words in (
        ("/nowhere/cc -O0", "no C compiler was found"),
        ("false", "false failed with exit code 1: no message"),
        ("gcc 'half a word", "is no command"),
    ):
        monkeypatch.setenv("CC", command)
        with pytest.raises(compiler.CompilerError, match=words) as caught:
            compiler.build(target)
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_flags_that_change_arithmetic_are_refused_or_not_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "cc -ffast-math")
    with pytest.raises(compiler.CompilerError, match="own precision and order"):
        compiler.build(tmp_path / "made.so")
    assert not list(tmp_path.iterdir())
    assert not any(
        flag.startswith(("-march", "-mcpu", "-mtune", "-Ofast", "-ffast"))
        for flag in (
            *compiler._FLAGS,
            *(flag for unit in compiler.UNITS for flag in unit.flags),
            *(flag for level in compiler.levels("x86_64") for flag in level.flags),
        )
    )


def test_every_machine_has_the_generic_level() -> None:
    assert [level.name for level in compiler.levels("x86_64")] == ["avx512", "avx2", "generic"]
    assert [level.name for level in compiler.levels("arm64")] == ["generic"]


@pytest.mark.parametrize("setting", ["0", ""])
def test_reports_name_the_pass(setting: str, tmp_path: Path) -> None:
    environment = os.environ | {loading.VARIABLE: setting}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mimverify", *words], env=environment, capture_output=True,
            text=True, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return done.stdout

    expected = "numpy" if setting == "0" or not loadable_levels() else "native"
    assert f"pass: {expected}" in run("--version")
    words = ("train", "z1z2", "--dim", "12", "--samples", "300", "--readout-neurons", "8")
    assert json.loads(run(*words, "--json", "-"))["configuration"]["pass"].startswith(expected)
