"""The workflows name files, commands and versions that exist, and build for every platform."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mimverify.native import compiler

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"
yaml = pytest.importorskip("yaml", reason="of asv and Dask")
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the sdist has no workflows")


def workflow(name: str) -> dict[Any, Any]:
    loaded = yaml.safe_load((FOLDER / f"{name}.yml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in workflow(name)["jobs"].values():
        yield from job["steps"]


def commands(name: str) -> list[list[str]]:
    """The words of every command line, what GitHub puts in taken as one word."""
    lines = "\n".join(str(step["run"]) for step in steps(name) if "run" in step)
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}", "X", line)) for line in lines.splitlines() if line]


def matrix() -> list[dict[str, str]]:
    included = workflow("release")["jobs"]["wheel"]["strategy"]["matrix"]["include"]
    assert isinstance(included, list)
    return included


def project() -> dict[str, Any]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["ci", "release"])
def test_scripts_that_a_workflow_runs_are_there_and_read_by_bash(name: str) -> None:
    assert names() == ["ci", "release"]
    scripts = [
        ROOT / words[1]
        for words in commands(name)
        if words[0] in ("bash", "python") and words[1].startswith(".ci/")
    ]
    assert scripts
    for script in scripts:
        assert script.is_file(), script
        if script.suffix != ".py" and (bash := shutil.which("bash")):
            subprocess.run([bash, "-n", script], check=True)
    assert {words[0] for words in commands(name)} <= {"bash", "python"}


@pytest.mark.parametrize("name", ["ci", "release"])
def test_jobs_wait_for_jobs_that_are_there_and_end_in_time(name: str) -> None:
    jobs = workflow(name)["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)
        assert job["timeout-minutes"] <= 60
    for step in steps(name):
        assert ("uses" in step) is not ("run" in step)
        assert re.fullmatch(r"[\w-]+/[\w-]+@[\w./]+", step.get("uses", "a/b@c"))


def test_every_artefact_that_is_fetched_was_left_there() -> None:
    left = {
        step["with"]["name"].replace("${{ matrix.tag }}", each["tag"])
        for step in steps("release")
        if step.get("uses", "").startswith("actions/upload-artifact@")
        for each in matrix()
    }
    assert left == {"sdist", *(f"wheel-{each['tag']}" for each in matrix())}
    fetched = [
        step["with"]
        for step in steps("release")
        if step.get("uses", "").startswith("actions/download-artifact@")
    ]
    assert {each.get("name", "sdist") for each in fetched} <= left
    # What is published is all of it.
    assert [each for each in fetched if "name" not in each] == [
        {"path": "dist", "merge-multiple": True}
    ]


def test_all_supported_pythons_run_ci() -> None:
    tested = workflow("ci")["jobs"]["ci"]["strategy"]["matrix"]["python"]
    named = [
        found[1]
        for each in project()["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (\d+\.\d+)", each))
    ]
    assert tested == named
    assert workflow("release")["env"]["PYTHON_VERSION"] in tested


def test_the_native_pass_meets_other_compilers_and_processors() -> None:
    jobs = workflow("ci")["jobs"]
    included = jobs["native"]["strategy"]["matrix"]["include"]
    assert jobs["native"]["env"] == {"CC": "${{ matrix.cc }}"}
    assert {each["cc"] for each in included} == {"gcc", "clang"}
    systems = {each["os"] for each in included}
    assert any(system.endswith("-arm") for system in systems)
    assert any(system.startswith("macos-") for system in systems)


def test_every_supported_platform_has_a_wheel_and_all_others_a_pure_one() -> None:
    tags = [each["tag"] for each in matrix()]
    assert sorted(tags) == sorted(
        [
            "manylinux_2_17_x86_64", "manylinux_2_17_aarch64", "macosx_11_0_arm64",
            "macosx_10_13_x86_64", "any",
        ]
    )  # fmt: skip
    assert [each["tag"] for each in matrix() if each.get("native") == "0"] == ["any"]
    # Each machine's kernels are compiled: x86's where they are, and the generic ones elsewhere.
    for tag in set(tags) - {"any"}:
        machine = tag.removeprefix("manylinux_2_17_").split("_0_")[-1].split("_13_")[-1]
        assert (len(compiler.levels(machine)) > 1) is (machine == "x86_64")


def test_only_a_tag_is_published_and_without_a_secret() -> None:
    release = workflow("release")
    jobs = release["jobs"]
    assert release["permissions"] == {"contents": "read"}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["if"] == "startsWith(github.ref, 'refs/tags/')"
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert "secrets." not in (FOLDER / "release.yml").read_text(encoding="utf-8")
    triggers = release["on" if "on" in release else True]  # YAML 1.1 reads the key as true
    assert triggers["push"] == {"tags": ["v*"]}


@pytest.mark.parametrize(
    ("tag", "changelog", "complaint"),
    [
        ("v1.2.3", "## [1.2.3] - 2030-01-01\n", ""),
        ("v1.2.4", "## [1.2.3] - 2030-01-01\n", "tag v1.2.4, but pyproject.toml has version 1.2.3"),
        ("1.2.3", "## [1.2.3] - 2030-01-01\n", "tag 1.2.3, but"),
        ("v1.2.3", "## [Unreleased]\n", "CHANGELOG.md has no section [1.2.3]"),
    ],
)
def test_a_tag_is_the_version_and_the_changelog_tells_of_it(
    tag: str, changelog: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "tag_is_version.py", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(changelog)
    done = subprocess.run(
        [sys.executable, "-I", str(tmp_path / ".ci" / "tag_is_version.py"), tag],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode == 0) is (complaint == "")
    assert complaint in done.stderr


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("objdump") is None or shutil.which("cc") is None,
    reason="needs Linux, a C compiler and objdump",
)
def test_the_library_needs_nothing_that_its_tag_does_not_promise(tmp_path: Path) -> None:
    """Symbols of glibc 2.17 or older, and no library but libc: what `auditwheel` asks for."""
    library = compiler.SOURCES / compiler.LIBRARY
    if not library.exists():
        pytest.skip("the native library was not built")
    listed = subprocess.run(
        ["objdump", "-p", "-T", str(library)], capture_output=True, text=True, check=True,
        env=os.environ | {"LC_ALL": "C"},
    ).stdout  # fmt: skip
    needed = re.findall(r"NEEDED +(\S+)", listed)
    assert [name for name in needed if not name.startswith(("libc.so.", "ld-linux"))] == []
    versions = re.findall(r"\b([A-Z]+)_(\d+)\.(\d+)", " ".join(re.findall(r"GLIBC_[\d.]+", listed)))
    assert versions
    assert max((int(major), int(minor)) for _, major, minor in versions) <= (2, 17)
    assert "GCC_" not in listed
