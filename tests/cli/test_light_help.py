"""What `--help` and `--version` import: nobody waits for Torch to read which options there are."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from mimverify.cli.app import app
from mimverify.cli.finding import SECTIONS, sections, verb_names

#: Libraries that take tenths of seconds to import.
HEAVY = {
    "torch", "scipy", "matplotlib", "hypothesis", "pytest", "dask", "distributed", "jax",
    "sklearn", "pandas", "pyarrow", "IPython",
}  # fmt: skip

_SCRIPT = """
import json, sys
from mimverify.cli import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    """Top-level names of what a process of its own has imported after these arguments."""
    found = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    assert found.stdout
    return set(json.loads(found.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_the_program_itself_imports_little(arguments: list[str]) -> None:
    assert not imported_by(*arguments) & (HEAVY | {"numpy"})


@pytest.mark.parametrize("verb", verb_names())
def test_help_of_a_verb_imports_no_heavy_library(verb: str) -> None:
    assert not imported_by(verb, "--help") & HEAVY


def test_the_list_of_verbs_says_what_each_verb_says_of_itself() -> None:
    """The list is made without importing them."""
    text = app.get_help(click.Context(app, info_name="mimverify", terminal_width=400))
    lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    for verb in verb_names():
        command = app.get_command(click.Context(app), verb)
        assert command is not None
        summary = command.get_short_help_str(400)
        assert summary
        assert lines[verb].split(maxsplit=1)[1] == summary


def test_every_verb_is_listed_once_under_a_known_heading() -> None:
    """A new heading is no mistake, but a misspelt one would look like it."""
    assert sorted(verb for verbs in sections().values() for verb in verbs) == list(verb_names())
    assert tuple(sections()) == SECTIONS
