"""Prints the lowest versions that pyproject.toml admits, as constraints of pip; Torch as pinned."""

import re
import tomllib
from pathlib import Path

root = Path(__file__).parents[1]
project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
requirements = [*project["dependencies"]]
for extra in ("sklearn", "parquet", "figures", "jax"):
    requirements += extras[extra]
for requirement in requirements:
    if not requirement.startswith("torch>"):  # its wheels are large, and each has its own builds
        print(requirement.replace(">=", "=="))
print(*re.findall(r"^torch==.*", (root / "constraints.txt").read_text(encoding="utf-8"), re.M))
