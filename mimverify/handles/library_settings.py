"""Settings of libraries that hold for a whole process, and that a trainer may change.

They are its own: in the process of the suite, the reference's results would change with them.
`mimverify.support.libraries` has those of each library.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mimverify.support.libraries.process_wide import Setting
from mimverify.support.libraries.registry import LIBRARIES

__all__ = ["SETTINGS", "apply_settings", "read_settings"]

#: By name. Each is written only where it differs: some writes take longer than a small step.
SETTINGS: dict[str, Setting] = {
    name: setting for library in LIBRARIES for name, setting in library.settings.items()
}


def read_settings() -> dict[str, Any]:
    """The values by name; the library's own where it is not imported yet."""
    values = {}
    for name, setting in SETTINGS.items():
        library = sys.modules.get(setting.library)
        values[name] = setting.default if library is None else setting.read(library)
    return values


def apply_settings(values: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Set what differs from the values `now`."""
    for name, value in values.items():
        library = sys.modules.get(SETTINGS[name].library)
        if value != now[name] and library is not None:
            SETTINGS[name].write(library, value)
