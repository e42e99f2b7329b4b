"""The command line: `mimverify train | check | claims`."""

from mimverify.cli.app import main

__all__ = ["main"]
