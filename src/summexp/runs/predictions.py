"""`generated_predictions`: a row for each row of the input, as JSON Lines, CSV or Parquet."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from summexp.data.input_rows import InputRows, as_dicts, as_table, cell_text, column_names
from summexp.run_folder.atomic_files import replacing, to_json
from summexp.run_folder.layout import EARLIER_PREDICTIONS, PREDICTION_FORMATS, predictions_file

if TYPE_CHECKING:
    from summexp.data.config import DataConfig

log = logging.getLogger(__name__)


_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
"""Characters that `str.splitlines` takes for line ends and JSON does not escape."""
_NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*\s]+')
"""What a file's name cannot hold on one system or another."""
_LONGEST_NAME = 150
"""Bytes of a name, of which file systems allow 255 with what is added."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was predicted for the rows of an input, in their order."""

    ids: Sequence[str]
    """Of every row."""
    texts: Sequence[str]
    """The summary of every row; empty for a skipped one."""
    references: Sequence[Sequence[str]]
    """Of every row, the full original texts; none where there are none."""
    scores: Mapping[str, Sequence[float]]
    """Score name to one value for each of the rows that were scored."""
    scored: Sequence[int]
    """The numbers of these rows."""
    skipped: Mapping[int, str]
    """Number of a row to why nothing was generated for it."""
    chunks: Mapping[int, int]
    """Number of a row to that of its document's chunks, where it was cut into some."""

    def row_scores(self) -> dict[int, dict[str, float]]:
        """Return the scores of each row that has some, by its number."""
        values = zip(*self.scores.values(), strict=True)
        return {
            number: dict(zip(self.scores, row, strict=True))
            for number, row in zip(self.scored, values, strict=False)
        }


def write_predictions(
    folder: Path, file_format: str, predictions: Predictions, rows: InputRows | None
) -> Path:
    """Write `generated_predictions.<file_format>` and return its path.

    As JSON Lines, an object a row: `id`, `prediction`, and `reference` and scores where there is
    one. Where a row has several references, `references` holds them all, and `reference` the first.
    Where its document was summarised in chunks, `chunks` has their number. Where nothing was
    generated, `skipped` has the reason.

    As CSV and Parquet, all columns of the input, then `prediction`, the scores, `chunks` where a
    document was cut into some, and `skipped`. CSV is UTF-8 with a byte order mark, without which
    Excel misreads it.

    Args:
        folder: The run folder.
        file_format: `jsonl`, `csv` or `parquet`.
        predictions: Of every row.
        rows: The input with all its columns; not needed for JSON Lines.
    """
    path = folder / predictions_file(file_format)
    with replacing(path) as draft:
        if file_format == "jsonl":
            with draft.open("w", encoding="utf-8") as file:
                _write_jsonl(file, predictions)
            return path
        assert rows is not None
        added = _added_columns(predictions, column_names(rows))
        if file_format == "csv":
            with draft.open("w", encoding="utf-8-sig", newline="") as file:
                _write_csv(file, rows, added)
        else:
            table = as_table(rows)
            for name, values in added.items():
                table = table.append_column(name, values)
            pq.write_table(table, draft)
    return path


def _write_jsonl(file: TextIO, predictions: Predictions) -> None:
    scores = predictions.row_scores()
    rows = zip(predictions.ids, predictions.texts, predictions.references, strict=True)
    for number, (name, text, references) in enumerate(rows):
        line: dict[str, Any] = {"id": name, "prediction": text}
        if number in predictions.skipped:
            line["skipped"] = predictions.skipped[number]
        if number in predictions.chunks:
            line["chunks"] = predictions.chunks[number]
        if references:
            line["reference"] = references[0]
            line |= {"references": list(references)} if len(references) > 1 else {}
            line |= scores.get(number, {})
        file.write(to_json(line).translate(_LINE_ENDS) + "\n")


def _write_csv(file: TextIO, rows: InputRows, added: Mapping[str, pa.Array]) -> None:
    names = column_names(rows)
    writer = csv.writer(file)
    writer.writerow([*names, *added])
    columns = [values.to_pylist() for values in added.values()]
    for row, cells in zip(as_dicts(rows), zip(*columns, strict=True), strict=True):
        writer.writerow([cell_text(row.get(name)) for name in names] + [*map(cell_text, cells)])


def _added_columns(predictions: Predictions, taken: Sequence[str]) -> dict[str, pa.Array]:
    """Return the columns beside the input's, each under a name that the input does not have."""
    scores = predictions.row_scores()
    numbers = range(len(predictions.texts))
    columns = {"prediction": pa.array(predictions.texts, pa.string())}
    for name in predictions.scores:
        values = [scores.get(number, {}).get(name) for number in numbers]
        columns[name] = pa.array(values, pa.float64())
    if predictions.chunks:
        columns["chunks"] = pa.array(map(predictions.chunks.get, numbers), pa.int64())
    columns["skipped"] = pa.array(map(predictions.skipped.get, numbers), pa.string())
    named = {}
    used = {name.casefold() for name in taken}
    for name, values in columns.items():
        free = next(one for one in _numbered(name, "_") if one.casefold() not in used)
        if free != name:
            log.warning("the input has a column %r: the column of the run is %r", name, free)
        used.add(free.casefold())
        named[free] = values
    return named


def _numbered(name: str, separator: str, suffix: str = "") -> Iterator[str]:
    """Yield `name`, and then with the numbers from 2 on."""
    yield f"{name}{suffix}"
    number = 2
    while True:
        yield f"{name}{separator}{number}{suffix}"
        number += 1


def input_label(data: DataConfig) -> str:
    """Return what tells the input of a prediction from others, as a part of a file's name."""
    # A file may stand beside the name of what the model was trained on.
    if data.test_file:
        stem, split = Path(data.test_file).name.partition(".")[0], ""
    elif data.name is not None:
        stem, split = (
            Path(data.name).name,
            data.test_split if data.test_share is None else "test_share",
        )
    else:
        stem, split = Path(data.train_file or "input").name.partition(".")[0], "test_share"
    label = _NO_NAME.sub("-", f"{stem}-{split}" if split else stem).strip("-. ")
    return label.encode()[:_LONGEST_NAME].decode(errors="ignore") or "input"


def move_earlier_predictions(
    folder: Path, earlier: Mapping[str, Any], keep: str | None = None
) -> list[str]:
    """Move predictions that are not to be replaced into `predictions/`, and log where.

    Args:
        folder: The run folder.
        earlier: What `run.json` has of them: `file` and `input`.
        keep: A file that is to be replaced, and so stays.

    Returns:
        Where they are now, in the folder.
    """
    moved = []
    for name in map(predictions_file, PREDICTION_FORMATS):
        path = folder / name
        if name == keep or not path.is_file():
            continue
        label = earlier.get("input") if earlier.get("file") == name else None
        stem = _NO_NAME.sub("-", str(label or "earlier"))
        parent = _earlier_folder(folder)
        places = (parent / one for one in _numbered(stem, "-", path.suffix))
        place = next(one for one in places if not os.path.lexists(one))
        path.rename(place)
        moved.append(f"{parent.name}/{place.name}")
        log.info("moved the predictions of %s to %s", label or "an earlier command", moved[-1])
    return moved


def _earlier_folder(folder: Path) -> Path:
    """Return `predictions/`, made if it is not there; another name where that is no folder."""
    for name in _numbered(EARLIER_PREDICTIONS, "-"):
        path = folder / name
        if not os.path.lexists(path):
            path.mkdir()
        if path.is_dir() and not path.is_symlink():
            return path
    raise AssertionError("a name is always free")
