"""Examples for the report: the rows with the best and the worst scores."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from summexp.evaluation.evaluate import EvaluationResult, EvaluationSet
from summexp.metrics.registry import SCORES

_EACH = 3
"""Rows of each kind."""
_EXCERPT = 600
"""Characters of a document that are recorded."""
_RANKING = ("rougeL", *(name for name, score in SCORES.items() if score.quality))
"""Scores that rank rows; the first one that was computed decides."""


def choose_examples(rows: EvaluationSet, found: EvaluationResult) -> list[dict[str, Any]]:
    """Return the rows with the highest and the lowest scores, as recorded in `run.json`.

    Rows are ranked by ROUGE-L, or by the F1 of BERTScore if ROUGE is not computed. Ties keep the
    order of the rows. Without scores, the first rows are returned.

    Returns:
        Up to three rows of each kind, best first, then worst first. Keys: `kind` (`best`, `worst`
        or `first`), `set`, `ranked_by` (name of the score, or None), `id`, `document` (its
        beginning), `reference` (or None), `prediction`, and `scores` by name.
    """
    if not found.predictions:
        return []
    scored = rows.scored
    ranked_by = next((name for name in _RANKING if name in found.row_scores), None)
    if ranked_by is None or not scored:
        return [_example(rows, found, number, "first") for number in _first(rows)]
    values = dict(zip(scored, found.row_scores[ranked_by], strict=True))
    best = sorted(scored, key=lambda number: (-values[number], number))[:_EACH]
    if len(scored) < 2 * _EACH:
        # No row is both best and worst.
        best = best[: (len(scored) + 1) // 2]
    worst = sorted(set(scored) - set(best), key=lambda number: (values[number], number))[:_EACH]
    places = {number: place for place, number in enumerate(scored)}
    chosen = []
    for kind, numbers in (("best", best), ("worst", worst)):
        for number in numbers:
            place = places[number]
            scores = {name: one[place] for name, one in found.row_scores.items()}
            example = _example(rows, found, number, kind)
            chosen.append(example | {"ranked_by": ranked_by, "scores": scores})
    return chosen


def _first(rows: EvaluationSet) -> Iterable[int]:
    predicted = (number for number in range(len(rows.rows)) if number not in rows.skipped)
    return islice(predicted, _EACH)


def _example(
    rows: EvaluationSet, found: EvaluationResult, number: int, kind: str
) -> dict[str, Any]:
    row = rows.rows[number]
    return {
        "kind": kind,
        "set": rows.name,
        "ranked_by": None,
        "id": row["id"],
        "document": row["document"][:_EXCERPT],
        "reference": row["summary"],
        "prediction": found.predictions[number],
        "scores": {},
    }
