"""Templates to text, and pages to files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from mimverify.support.files import atomic_write
from mimverify.support.strict_json import jsonable
from mimverify.support.versions import software_versions

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["render", "write_page"]


def render(template_name: str, context: Mapping[str, object]) -> str:
    """A template of `mimverify/pages/templates`, filled in: everything that is no `Markup` is
    escaped, and a name that the context lacks is an error."""
    return _environment().get_template(template_name).render(**context)


def write_page(path: str | Path, html: str) -> None:
    """Write a page as UTF-8, atomically.

    **Raises** `InputError` for a path that is wrong; `OutputError` if writing fails midway.
    """
    atomic_write(Path(path), html.encode("utf-8"))


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # a tenth of a second

    environment = Environment(
        loader=PackageLoader("mimverify.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json_data"] = _json_data
    environment.filters["breakable"] = _breakable
    environment.globals["mimverify_version"] = software_versions()["mimverify"]
    return environment


def _breakable(text: str) -> Markup:
    """A name of code that may go on in the next line behind its dots, colons and underscores."""
    return Markup(re.sub(r"(?<=[.:/_])(?=\w)", "<wbr>", str(escape(text))))


def _json_data(value: object) -> Markup:
    """Strict JSON that stands safely inside a <script>: no "<" can end it or open a comment."""
    text = json.dumps(jsonable(value), indent=1, ensure_ascii=False, allow_nan=False)
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)
