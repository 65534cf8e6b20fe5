"""The file of `summexp score --per-row`: the scores of every row.

Tested in tests/verbs/test_score.py.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from summexp.data.input_rows import as_table, cell_text
from summexp.errors import ConfigError
from summexp.run_folder.atomic_files import replacing, to_json
from summexp.scoring.systems import ScoredSystems

FORMATS = (".jsonl", ".csv", ".parquet")
"""Extensions of the file, which choose its format."""


def check_target(path: Path, inputs: list[str]) -> None:
    """Check that the file can be written to, before anything is scored.

    Raises:
        ConfigError: its extension is unknown, it has no folder, or it is one of the inputs.
    """
    if path.suffix.lower() not in FORMATS:
        what = f"--per-row: {path} has none of the extensions {', '.join(FORMATS)}"
        raise ConfigError.of(what=what, hint=f"Write --per-row {path.stem or 'rows'}.jsonl")
    if not path.parent.is_dir():
        raise ConfigError(f"--per-row: there is no folder {path.parent}")
    if path.is_dir():
        raise ConfigError(f"--per-row: {path} is a folder")
    if any(Path(one).exists() and path.exists() and path.samefile(one) for one in inputs):
        raise ConfigError(f"--per-row: {path} is one of the files to score")


def write_rows(path: Path, scored: ScoredSystems) -> None:
    """Write an object a row: `system` (where there are several), `id`, `prediction`, its scores.

    `reference` is there where the row has one, `references` where it has several, and `skipped`
    where it was not scored for that reason.

    Raises:
        OSError: it cannot be written.
    """
    rows = list(_rows(scored))
    with replacing(path) as draft:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(as_table(rows), draft)
        elif path.suffix.lower() == ".csv":
            names = list(dict.fromkeys(name for row in rows for name in row))
            # Excel needs the byte order mark.
            with draft.open("w", encoding="utf-8-sig", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(names)
                writer.writerows([cell_text(row.get(name)) for name in names] for row in rows)
        else:
            with draft.open("w", encoding="utf-8") as file:
                file.writelines(to_json(row) + "\n" for row in rows)


def _rows(scored: ScoredSystems) -> Iterator[dict[str, Any]]:
    places = {row: place for place, row in enumerate(scored.scored)}
    for system in scored.systems:
        for number, text in enumerate(system.predictions):
            references = scored.references[number]
            row: dict[str, Any] = {"system": system.name} if len(scored.systems) > 1 else {}
            row |= {"id": scored.ids[number], "prediction": text}
            if number in scored.skipped:
                row["skipped"] = scored.skipped[number]
            if references:
                row["reference"] = references[0]
            if len(references) > 1:
                row["references"] = list(references)
            if number in places:
                values = system.row_scores.items()
                row |= {name: column[places[number]] for name, column in values}
            yield row
