"""`python -m mimverify.native`: build the native library into the package's own folder.

For a source tree that is used by its path; an installation has built it already.
"""

from __future__ import annotations

import sys

from mimverify.native.compiler import LIBRARY, SOURCES, CompilerError, build
from mimverify.native.library import pass_in_use
from mimverify.support.errors import InputError


def main() -> int:
    """Build, and say which pass is then in use. **Returns** the exit code."""
    if len(sys.argv) > 1:
        print("usage: python -m mimverify.native (without arguments)", file=sys.stderr)
        return 2
    try:
        build(SOURCES / LIBRARY)
        name, reason = pass_in_use()
    except (CompilerError, InputError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"pass in use: {name}" + (f" ({reason})" if reason else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main())
