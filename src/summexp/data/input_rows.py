"""Input rows of prediction with all their columns, for predictions as CSV and Parquet.

Tested in tests/runs/test_predictions.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from summexp.data.columns import to_text

InputRows: TypeAlias = pa.Table | list[dict[str, object]]
"""An Arrow table if the source has typed columns (Parquet, Hub), else rows as read."""


def column_names(rows: InputRows) -> list[str]:
    """Return the names of all columns, in the order of the source."""
    if isinstance(rows, pa.Table):
        return list(rows.column_names)
    return list(dict.fromkeys(name for row in rows for name in row))


def as_dicts(rows: InputRows) -> list[dict[str, object]]:
    """Return each row as column name to value."""
    return rows.to_pylist() if isinstance(rows, pa.Table) else rows


def as_table(rows: InputRows) -> pa.Table:
    """Return the rows as an Arrow table; a column of mixed types becomes text."""
    if isinstance(rows, pa.Table):
        # The metadata of `datasets` would lack the added columns.
        return rows.replace_schema_metadata(None)
    names = column_names(rows)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def cell_text(value: object) -> str:
    """Return a value as a CSV cell: lists, objects and booleans as JSON."""
    if isinstance(value, (bool, list, tuple, dict)):
        return to_text(json.dumps(value, ensure_ascii=False, default=str))
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return to_text(value)


def _column(values: Sequence[object]) -> pa.Array:
    try:
        column = pa.array([_encodable(value) for value in values])
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        column = pa.array([None if value is None else cell_text(value) for value in values])
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _encodable(value: Any) -> Any:
    """Return a JSON value without lone surrogates, which Arrow does not support."""
    if isinstance(value, str):
        return to_text(value)
    if isinstance(value, Mapping):
        return {to_text(name): _encodable(one) for name, one in value.items()}
    return [_encodable(one) for one in value] if isinstance(value, list) else value


def column_texts(rows: InputRows, name: str) -> list[str]:
    """Return the cells of a column as text."""
    if isinstance(rows, pa.Table):
        return [to_text(cell) for cell in rows[name].to_pylist()]
    return [to_text(row.get(name)) for row in rows]
