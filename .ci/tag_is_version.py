"""Exits with a message unless the tag that is named is `v` and the version of pyproject.toml, and
CHANGELOG.md has a section on it."""

import sys
import tomllib
from pathlib import Path

root = Path(__file__).parents[1]
version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
(tag,) = sys.argv[1:]
if tag != f"v{version}":
    sys.exit(f"tag {tag}, but pyproject.toml has version {version}")
if f"## [{version}]" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
    sys.exit(f"CHANGELOG.md has no section [{version}]")
