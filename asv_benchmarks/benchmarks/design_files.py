"""How a run may hold its inputs, by the files of mimverify: nothing of it is imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def designs() -> list[str]:
    """The names of the designs; of commits from before each had a file there are none."""
    package = find_spec("mimverify")
    places = [] if package is None else package.submodule_search_locations or []
    files = [file for place in places for file in Path(place, "experiment/designs").glob("*.py")]
    return sorted(file.stem.replace("_", "-") for file in files if file.stem[0] != "_")
