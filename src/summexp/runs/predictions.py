"""Writer of `generated_predictions`: one row per input row, as JSON Lines, CSV or Parquet."""

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
"""Line separators of `str.splitlines` that JSON does not escape."""
_NO_NAME = re.compile(r'[\x00-\x1f<>:"/\\|?*\s]+')
"""Characters that are invalid in a file name on some system."""
_LONGEST_NAME = 150
"""Maximum bytes of a name; file systems allow 255, with suffixes."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of an input, in the order of its rows."""

    ids: Sequence[str]
    """ID of every row."""
    texts: Sequence[str]
    """Summary of every row; empty for a skipped row."""
    references: Sequence[Sequence[str]]
    """References of every row, the full original texts; may be empty."""
    scores: Mapping[str, Sequence[float]]
    """Score name to one value for each scored row."""
    scored: Sequence[int]
    """Numbers of the scored rows."""
    skipped: Mapping[int, str]
    """Row number to the reason why it was skipped."""
    chunks: Mapping[int, int]
    """Row number to the number of chunks, for documents summarised in chunks."""

    def row_scores(self) -> dict[int, dict[str, float]]:
        """Return the scores of each scored row, by row number."""
        values = zip(*self.scores.values(), strict=True)
        return {
            number: dict(zip(self.scores, row, strict=True))
            for number, row in zip(self.scored, values, strict=False)
        }


def write_predictions(
    folder: Path, file_format: str, predictions: Predictions, rows: InputRows | None
) -> Path:
    """Write `generated_predictions.<file_format>` and return its path.

    JSON Lines has an object per row: `id`, `prediction`, and, if the row has a reference,
    `reference` and the scores. `references` lists several references, of which `reference` is the
    first. `chunks` is the number of chunks of a document summarised in chunks. `skipped` is the
    reason why nothing was generated.

    CSV and Parquet have all columns of the input, then `prediction`, the scores, `chunks` and
    `skipped`. CSV is UTF-8 with a byte order mark, which Excel needs.

    Args:
        folder: the run folder.
        file_format: `jsonl`, `csv` or `parquet`.
        predictions: the predictions of every row.
        rows: the input with all its columns; not needed for JSON Lines.
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
    """Return the columns to add, renamed if the input has a column of the same name."""
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
            log.warning("the input has a column %r: writing that of the run as %r", name, free)
        used.add(free.casefold())
        named[free] = values
    return named


def _numbered(name: str, separator: str, suffix: str = "") -> Iterator[str]:
    """Yield `name`, then `name` with each number from 2 on."""
    yield f"{name}{suffix}"
    number = 2
    while True:
        yield f"{name}{separator}{number}{suffix}"
        number += 1


def input_label(data: DataConfig) -> str:
    """Return a label for the input of a prediction, usable in a file name."""
    # A test file may be given beside the dataset of the training.
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
    """Move the predictions of an earlier input into `predictions/`.

    Args:
        folder: the run folder.
        earlier: their entry in `run.json`: `file` and `input`.
        keep: a file that will be replaced and is not moved.

    Returns:
        The new paths, relative to the folder.
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
    """Return `predictions/`, created if needed; with a number if that is not a folder."""
    for name in _numbered(EARLIER_PREDICTIONS, "-"):
        path = folder / name
        if not os.path.lexists(path):
            path.mkdir()
        if path.is_dir() and not path.is_symlink():
            return path
    raise AssertionError("unreachable: some number is always free")
