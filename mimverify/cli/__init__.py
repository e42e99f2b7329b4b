"""The command line: `mimverify VERB`, a verb for each file of `verbs`."""

from mimverify.cli.app import main

__all__ = ["main"]
