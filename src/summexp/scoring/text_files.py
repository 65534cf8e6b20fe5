"""Files of predictions, references and documents: their columns, and which rows belong together."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from unicodedata import normalize

from summexp.data.columns import (
    KNOWN_PAIRS,
    Columns,
    choose_columns,
    is_blank,
    to_example,
    to_text,
)
from summexp.data.config import DataConfig
from summexp.data.files import one_line
from summexp.data.source_files import inspect, read_rows, verified
from summexp.errors import ConfigError, nearest
from summexp.paths import at_home
from summexp.run_folder.layout import PREDICTION_FORMATS, predictions_file

PREDICTION_NAMES = (
    "prediction",
    "predictions",
    "predicted",
    "predicted_summary",
    "pred",
    "generated",
    "generated_summary",
    "generated_text",
    "hypothesis",
    "hyp",
    "candidate",
    "output",
    "system",
    "response",
    "decoded",
)
"""Columns that are taken for predictions, compared ignoring case."""
REFERENCE_NAMES = ("reference", "ref", "gold", "gold_summary", "target", "ground_truth")
"""Columns that are taken for references, before those of published corpora."""
_SUMMARY_NAMES = frozenset(summary for _, summary in KNOWN_PAIRS)
_RENAMED = re.compile(r"prediction_\d+")
"""What a run calls its predictions beside an input that has a column of that name."""
_SHOWN_IDS = 3


@dataclass(frozen=True, kw_only=True)
class TextFile:
    """All rows of a file."""

    path: str
    """As the user wrote it."""
    names: tuple[str, ...]
    """The columns of all rows."""
    rows: Sequence[Mapping[str, object]]
    """Column name to value, row by row."""
    ids: Sequence[str] | None
    """The ID of each row; None if the file has none."""
    remarks: tuple[str, ...] = ()
    """What is unusual in its encoding or its separator."""

    def cells(self, column: str) -> list[str]:
        """Return the cells of a column as texts.

        Raises:
            ConfigError: a cell is not text (a list, an object, bytes).
        """
        return [self._cell(row, number, column) for number, row in enumerate(self.rows)]

    def _cell(self, row: Mapping[str, object], number: int, column: str) -> str:
        value = row.get(column)
        try:
            return to_text(value)
        except TypeError:
            kind = type(value).__name__
            what = f"{self.path}, row {number + 1}: column {column!r} holds a {kind}, not text"
            raise ConfigError(what) from None

    def sample(self) -> dict[str, str]:
        """Return the first value of each column, shortened to a line."""
        return {name: self._first(name) for name in self.names}

    def _first(self, name: str) -> str:
        values = (row.get(name) for row in self.rows)
        return next((one_line(value) for value in values if value not in (None, "")), "")


def read_file(path: str, data: DataConfig, *, most: int | None = None) -> TextFile:
    """Read the rows of a file; of a run folder, its predictions.

    A file without a known extension, such as `test.hypo`, has a text a line.

    Args:
        path: the file.
        data: has the language, and may name the column of IDs.
        most: how many rows to read from the start; None for all.

    Raises:
        ConfigError: it cannot be read.
    """
    file = verified(inspect(_in_folder(path), language=data.language, lines=True))
    rows = list(islice(read_rows(file), most))
    # A column of JSON Lines may begin in any row.
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    id_column = _spelt(data.id_column, names) or _one_of(("id",), names)
    ids = None
    if id_column is not None:
        ids = [to_text(row.get(id_column)) or str(number) for number, row in enumerate(rows)]
    remarks = tuple(file.remarks())
    return TextFile(path=path, names=names, rows=rows, ids=ids, remarks=remarks)


def _in_folder(path: str) -> str:
    """Return the file of predictions of a run folder, or the path itself.

    Raises:
        ConfigError: it is a folder without predictions.
    """
    folder = Path(at_home(path))
    if not folder.is_dir():
        return path
    names = [predictions_file(ending) for ending in PREDICTION_FORMATS]
    found = [str(folder / name) for name in names if (folder / name).is_file()]
    if not found:
        raise ConfigError.of(
            what=f"{path} is a folder without {names[0]}",
            hint="Name a file in it, or a run folder with predictions (training.do_predict=true).",
        )
    return found[0]


def prediction_column(file: TextFile, named: str | None, *, has_references: bool) -> str:
    """Return the column of the predictions.

    Args:
        file: the file.
        named: the column that the user names, or None.
        has_references: whether the references are to be found in the same file.

    Raises:
        ConfigError: there is no such column, or none or several that may be it.
    """
    if named is not None:
        if (spelt := _spelt(named, file.names)) is None:
            raise _missing(file, named, "--column")
        return spelt
    found = _predictions(file)
    if not found and not has_references:
        found = [name for name in file.names if _plain(name) in _SUMMARY_NAMES]
        found = found or _without_ids(file)
    if len(found) == 1:
        return found[0]
    if not found and has_references and len(file.names) <= 2:
        raise _no_references(file)
    raise _undecided(file, "predictions", found, "--column COLUMN")


def has_both(file: TextFile) -> bool:
    """Return whether a file has columns of predictions and of references."""
    known = (*REFERENCE_NAMES, "references")
    return bool(_predictions(file)) and any(_plain(name) in known for name in file.names)


def _predictions(file: TextFile) -> list[str]:
    """Return the columns that are called as predictions are."""
    plain = {name: _plain(name) for name in file.names}
    return [n for n, p in plain.items() if p in PREDICTION_NAMES or _RENAMED.fullmatch(p)]


def references_of(
    file: TextFile, data: DataConfig, *, but: Collection[str] = ()
) -> list[tuple[str, ...]]:
    """Return the references of each row, that of training first; none for a row without text.

    Args:
        file: the file.
        data: may name `summary_column` and `references_column`.
        but: columns that hold something else.

    Raises:
        ConfigError: none or several columns may be it, or a cell is not text.
    """
    columns = _reference_columns(file, data, but)
    listed = columns.references
    found = []
    for number, row in enumerate(file.rows):
        cell = row.get(listed) if listed else None
        full = {**row, listed: _list_in(cell)} if listed and isinstance(cell, str) else row
        example = to_example(full, number, columns, file.path)
        one = () if example.summary is None else (example.summary,)
        found.append(example.references or one)
    return found


def _list_in(cell: str) -> object:
    """Return the list of texts that a CSV cell holds as JSON, or the cell itself."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _reference_columns(file: TextFile, data: DataConfig, but: Collection[str]) -> Columns:
    names = [name for name in file.names if name not in but]
    several = _spelt(data.references_column, names) or _one_of(("references",), names)
    summary = _spelt(data.summary_column, names)
    # What a run inherits is the name in its data; a typing error is near to a name that is here.
    if summary is None and data.summary_column and nearest(data.summary_column, names):
        raise _missing(file, data.summary_column, "data.summary_column")
    if summary is not None:
        return Columns(document="", summary=summary, id=None, references=several)
    found = [name for name in names if _plain(name) in REFERENCE_NAMES]
    found = found or [name for name in names if _plain(name) in _SUMMARY_NAMES]
    if len(found) > 1:
        found = _of_a_pair(names) or found
    if not (found or several or but):
        found = _without_ids(file)
    if len(found) > 1 or not (found or several):
        if but and not found:
            raise _no_references(file)
        raise _undecided(file, "references", found, "data.summary_column=COLUMN")
    return Columns(document="", summary=found[0] if found else None, id=None, references=several)


def _of_a_pair(names: Sequence[str]) -> list[str]:
    """Return the summaries of a known pair of columns, if there is one."""
    plain = {_plain(name): name for name in names}
    return list(dict.fromkeys(plain[b] for a, b in KNOWN_PAIRS if a in plain and b in plain))


def documents_of(file: TextFile, data: DataConfig) -> list[str]:
    """Return the document of each row.

    Raises:
        ConfigError: none or several columns may be it, or a cell is not text.
    """
    columns = choose_columns(
        file.names,
        data,
        needs_summary=False,
        source=file.path,
        sample=file.sample,
        log_choice=False,
    )
    return file.cells(columns.document)


def skipped_rows(file: TextFile, predictions: Sequence[str]) -> dict[int, str]:
    """Return the number of each row for which nothing was generated, and the reason.

    A run writes the reason into `skipped`; a summary that is empty for another reason counts.
    """
    if "skipped" not in file.names:
        return {}
    reasons = enumerate(file.cells("skipped"))
    return {
        number: reason
        for number, reason in reasons
        if not is_blank(reason) and is_blank(predictions[number])
    }


def rows_of(
    file: TextFile, base: TextFile, *, in_order: bool = False, may_have_more: bool = False
) -> Sequence[int]:
    """Return the number of the row of `file` that belongs to each row of `base`.

    They belong together by their IDs where both files have them, else by their order.

    Args:
        file: the file.
        base: the file whose order counts.
        in_order: whether to ignore IDs.
        may_have_more: whether `file` may have IDs that `base` lacks.

    Raises:
        ConfigError: rows are missing, or an ID is there twice.
    """
    if file is base or (not in_order and file.ids is not None and file.ids == base.ids):
        return range(len(base.rows))
    if in_order or file.ids is None or base.ids is None:
        if len(file.rows) != len(base.rows):
            raise _other_count(file, base, in_order=in_order)
        return range(len(base.rows))
    for one in (file, base):
        _check_unique(one)
    places = {name: number for number, name in enumerate(file.ids)}
    missing = [name for name in base.ids if name not in places]
    known = frozenset(base.ids)
    more = [] if may_have_more else [name for name in file.ids if name not in known]
    if missing or more:
        raise _other_ids(file, base, missing, more)
    return [places[name] for name in base.ids]


def _check_unique(file: TextFile) -> None:
    assert file.ids is not None
    (name, count), *_ = Counter(file.ids).most_common(1)
    if count > 1:
        raise ConfigError.of(
            what=f"{file.path}: the id {name!r} is there {count} times",
            hint="Make the ids unique, or pair the rows by their order: --in-order",
        )


def _other_count(file: TextFile, base: TextFile, *, in_order: bool) -> ConfigError:
    lacking = [one.path for one in (file, base) if one.ids is None]
    why = "" if in_order else f", and {' and '.join(lacking)} has no ids"
    if len(lacking) == 2:
        why = ", and neither has ids"
    return ConfigError.of(
        what=f"{file.path} has {len(file.rows):,} rows, {base.path} {len(base.rows):,}{why}",
        hint="Rows belong together by a column of ids in both files (data.id_column=COLUMN), "
        "or by their order, where the files have equally many.",
    )


def _other_ids(
    file: TextFile, base: TextFile, missing: Sequence[str], more: Sequence[str]
) -> ConfigError:
    parts = []
    if missing:
        parts.append(
            f"lacks {len(missing):,} of the {len(base.rows):,} ids of {base.path}"
            f" ({_listed(missing)})"
        )
    if more:
        parts.append(
            f"has {len(more):,} of {len(file.rows):,} ids that {base.path} lacks ({_listed(more)})"
        )
    return ConfigError.of(
        what=f"{file.path} {' and '.join(parts)}",
        hint="Every row is scored: a row without a summary has an empty one. Where the ids mean "
        "nothing, pair the rows by their order: --in-order",
    )


def _listed(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _SHOWN_IDS else ""
    return ", ".join(names[:_SHOWN_IDS]) + more


def _missing(file: TextFile, named: str, key: str) -> ConfigError:
    listed = f"Its columns: {', '.join(file.names)}."
    near = nearest(named, file.names)
    return ConfigError.of(
        what=f"{key}: {file.path} has no column {named!r}",
        hint=f"{near} {listed}" if near else listed,
    )


def _no_references(file: TextFile) -> ConfigError:
    return ConfigError.of(
        what=f"{file.path} has no references beside its predictions",
        hint=f"Name their file: summexp score {shlex.quote(file.path)} REFERENCES; or their "
        f"column: data.summary_column=COLUMN. Its columns: {', '.join(file.names)}.",
    )


def _undecided(file: TextFile, what: str, found: Sequence[str], setting: str) -> ConfigError:
    reason = "several may be it" if found else "none has a known name"
    listed = "\n".join(f"      {name}: {value}" for name, value in file.sample().items())
    return ConfigError.of(
        what=f"cannot detect the column of the {what} in {file.path}: {reason}",
        hint=f"Set {setting} to one of these (shown with a value):\n{listed}",
    )


def _without_ids(file: TextFile) -> list[str]:
    """Return the only column beside the IDs, or nothing."""
    others = [name for name in file.names if _plain(name) != "id"]
    return others if len(others) == 1 else []


def _spelt(named: str | None, names: Sequence[str]) -> str | None:
    if named is None or named in names:
        return named
    wanted = normalize("NFC", named).strip()
    return next((name for name in names if normalize("NFC", name).strip() == wanted), None)


def _one_of(wanted: Collection[str], names: Sequence[str]) -> str | None:
    found = [name for name in names if _plain(name) in wanted]
    return found[0] if len(found) == 1 else None


def _plain(name: str) -> str:
    return normalize("NFC", name).strip().lower()
