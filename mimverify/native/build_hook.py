"""The hook of the package's build: compiles the native library where there is a C compiler.

Editable installs get it in the tree, wheels as a file of their own and with a tag of the platform;
without a compiler, or with MIMVERIFY_NATIVE=0, a wheel is pure. pip shows nothing of what a hook
says: `mimverify --version` tells which pass is in use.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeLibraryHook(BuildHookInterface):  # type: ignore[type-arg, misc, unused-ignore]
    """Compiles before the files of a wheel are gathered."""

    PLUGIN_NAME = "custom"
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library for a wheel, `version` being `"standard"` or `"editable"`."""
        if self.target_name != "wheel" or os.environ.get("MIMVERIFY_NATIVE") == "0":
            return
        native = Path(self.root) / "mimverify" / "native"
        compiler = _load(native / "compiler.py")
        editable = version == "editable"
        if editable:
            target = native / compiler.LIBRARY
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="mimverify-wheel-")
            target = Path(self._folder.name) / compiler.LIBRARY
        try:
            compiler.build(target)
        except compiler.CompilerError as error:
            self.app.display_warning(f"the native pass is left out: {error}")
            return
        if not editable:
            build_data["force_include"][str(target)] = f"mimverify/native/{compiler.LIBRARY}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{_platform_tag()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the library that the wheel now holds."""
        if self._folder is not None:
            self._folder.cleanup()


def _platform_tag() -> str:
    """`linux_x86_64` and the like; MIMVERIFY_WHEEL_PLATFORM names another, such as manylinux's."""
    named = os.environ.get("MIMVERIFY_WHEEL_PLATFORM", "").strip()
    own = sysconfig.get_platform().replace("universal2", platform.machine())
    if own.startswith("macosx-10") and own.endswith("arm64"):
        own = "macosx-11.0-arm64"  # the first with this processor; installers refuse older ones
    return (named or own).replace("-", "_").replace(".", "_")


def _load(path: Path) -> ModuleType:
    # By its place: the package itself needs NumPy, which an isolated build has not.
    spec = importlib.util.spec_from_file_location("mimverify_native_compiler", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
