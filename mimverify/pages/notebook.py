"""Results as a notebook shows them: compact tables, from the record that `to_json` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from mimverify.pages.blocks import Column, Table
from mimverify.pages.rendering import render
from mimverify.support.strict_json import Json, jsonable

__all__ = ["ShownInNotebooks", "tables_of"]

_AT_ONCE, _TABLES = 12, 3  # rows of a table, and tables, that are not folded
_ROWS = 100  # of a folded table; `to_json` has the others
_LONGEST = 240  # characters of a text


class _Record(Protocol):
    def to_json(self) -> Json: ...

    def html_tables(self) -> Sequence[Table]: ...


class ShownInNotebooks:
    """A result that a notebook shows as tables. What public functions return inherits it.

    A class with something better to say than its record overrides `html_tables`.
    """

    def html_tables(self: _Record) -> Sequence[Table]:
        """The tables that are shown at once; the whole record is folded below them."""
        return [_cut(one, _AT_ONCE, "below") for one in _tables(self)[:_TABLES]]

    def _repr_html_(self: _Record) -> str:
        return render(
            "fragment.html.j2",
            {
                "name": type(self).__name__,
                "tables": self.html_tables(),
                "record": [_cut(one, _ROWS, "in to_json()") for one in _tables(self)],
            },
        )


def _tables(result: _Record) -> list[Table]:
    return tables_of(type(result).__name__, result.to_json())


def tables_of(name: str, record: Json) -> list[Table]:
    """A record as tables: single values by name; lists of one length side by side; lists of
    records. What is nested deeper is only counted."""
    single: list[tuple[str, str]] = []
    columns: dict[int, dict[str, Sequence[object]]] = {}
    tables: list[Table] = []
    for key, value in _flat(jsonable(record)):
        if isinstance(value, list) and value and all(isinstance(x, Mapping) for x in value):
            tables.append(_records(key, value))
        elif isinstance(value, list) and len(value) > 1 and all(map(_is_number, value)):
            columns.setdefault(len(value), {})[key] = value
        elif value not in (None, [], {}, ""):
            single.append((key, _shown(value)))
    aligned = [_columns(length, named) for length, named in columns.items()]
    rows = [[key, text] for key, text in single]
    first = [Table(name, ["name", Column("value")], rows)] if rows else []
    return [*first, *aligned, *tables]


def _flat(record: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Names and values, those of a mapping under "outer.inner", two levels deep."""
    for key, value in record.items():
        if isinstance(value, Mapping) and before.count(".") < 2:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + key, value


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _columns(length: int, named: Mapping[str, Sequence[object]]) -> Table:
    rows = [[str(k), *(_shown(column[k]) for column in named.values())] for k in range(length)]
    heads = [Column("entry"), *(Column(name, numeric=True) for name in named)]
    return Table(f"Lists of {length}", heads, rows)


def _records(name: str, records: Sequence[Mapping[str, object]]) -> Table:
    names = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_shown(record.get(key)) for key in names] for record in records]
    return Table(name, names, rows)


def _cut(table: Table, most: int, where: str) -> Table:
    left = len(table.rows) - most
    if left <= 0:
        return table
    return replace(table, rows=table.rows[:most], note=f"{left} more rows are {where}.")


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        if any(isinstance(x, list | dict) for x in value) or len(value) > 8:
            return f"{len(value)} entries"
        return "; ".join(map(_shown, value))
    if isinstance(value, dict):
        return f"{len(value)} entries"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
