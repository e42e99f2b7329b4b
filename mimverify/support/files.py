"""Files that are written atomically."""

from __future__ import annotations

import os
from pathlib import Path

from mimverify.support.errors import InputError


def atomic_write(path: Path, content: bytes) -> None:
    """Replace the file at `path` in one step; an interruption leaves the old one.

    A link stays a link. A device or a pipe is written to: replacing would destroy it.
    **Raises** `InputError` if it cannot be written.
    """
    special = is_special(path)
    path = path if special else path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if special:
            path.write_bytes(content)
            return
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


def is_special(path: Path) -> bool:
    """Whether the path exists and is no regular file or folder, such as /dev/null or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()
