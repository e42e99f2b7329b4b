"""`python -m mimverify` is the command line."""

import os
import sys

try:
    _here = os.getcwd()
except OSError:  # it was deleted
    _here = ""
# `-m` puts the current folder ahead of the standard library: a `random.py` that lies there would
# be executed in place of the real one. What users name is loaded from there all the same. What
# Python itself imports to get here, and this package where the folder holds one, are beyond reach.
if "-m" in sys.orig_argv and not sys.flags.safe_path and sys.path[:1] == [_here]:
    del sys.path[0]

from mimverify.cli import main

if __name__ == "__main__":
    main()
