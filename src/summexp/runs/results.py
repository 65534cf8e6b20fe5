"""The result files of a run, under the names that the old scripts use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from summexp.runs.folder import replacing, to_json, write_json

PREDICTIONS_FILE = "generated_predictions.jsonl"
"""One object a row of the test split, in its order."""
_PHASES = ("train", "eval", "predict")

_LINE_ENDS = {ord(char): f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"}
"""Characters that `str.splitlines` takes for line ends and JSON does not escape."""


def save_metrics(folder: Path, phase: str, metrics: Mapping[str, float]) -> None:
    """Write `<phase>_results.json`, and `all_results.json` from the files of every phase."""
    write_json(folder / f"{phase}_results.json", dict(metrics))
    _put_together(folder)


def drop_results(folder: Path) -> None:
    """Delete scores and predictions: training goes on, and they are of the model before."""
    for name in (*(f"{phase}_results.json" for phase in _PHASES), PREDICTIONS_FILE):
        (folder / name).unlink(missing_ok=True)
    _put_together(folder)


def _put_together(folder: Path) -> None:
    parts = [read_json(folder / f"{phase}_results.json") for phase in _PHASES]
    write_json(folder / "all_results.json", {key: part[key] for part in parts for key in part})


def save_predictions(
    folder: Path,
    ids: Iterable[str],
    predictions: Iterable[str],
    references: Iterable[Sequence[str]],
    row_scores: Mapping[str, list[float]],
    scored: Iterable[int],
    skipped: Mapping[int, str],
    pieces: Mapping[int, int],
) -> None:
    """Write a line for each row: `id`, `prediction`, and `reference` and scores where there is one.

    Where a row has several references, `references` holds them all, and `reference` the first.
    Where its document was summarised in pieces, `pieces` tells how many there were. Where there is
    no document, `skipped` has the reason.

    Args:
        folder: the run folder.
        ids: of every row.
        predictions: of every row, in the same order.
        references: of every row, the full original texts; none where there are none.
        row_scores: score name to one value for each of the rows that were scored.
        scored: the numbers of these rows.
        skipped: number of a row to why nothing was generated for it.
        pieces: number of a row to that of its document's pieces, where it was cut into some.
    """
    values = zip(*row_scores.values(), strict=True)
    scores = dict(zip(scored, values, strict=True)) if row_scores else {}
    path = folder / PREDICTIONS_FILE
    with replacing(path) as draft, draft.open("w", encoding="utf-8") as file:
        rows = zip(ids, predictions, references, strict=True)
        for number, (name, prediction, texts) in enumerate(rows):
            line: dict[str, Any] = {"id": name, "prediction": prediction}
            if number in skipped:
                line["skipped"] = skipped[number]
            if number in pieces:
                line["pieces"] = pieces[number]
            if texts:
                line["reference"] = texts[0]
                line |= {"references": list(texts)} if len(texts) > 1 else {}
                line |= dict(zip(row_scores, scores.get(number, ()), strict=False))
            file.write(to_json(line).translate(_LINE_ENDS) + "\n")


def read_metric(folder: Path, name: str) -> float | None:
    """Return a metric of a run, or None where it was not computed."""
    value = read_json(folder / "all_results.json").get(name)
    return float(value) if value is not None else None


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, or nothing where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(content)
