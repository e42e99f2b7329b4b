"""The version of the installed package."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mimverify")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"
