"""The rows that a report shows: those on which the model did best and worst."""

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
    """Return the rows with the highest and with the lowest scores, as `run.json` records them.

    All scored rows take part. ROUGE-L ranks them, or BERTScore's F1 where that is computed alone;
    of equal scores the earlier row comes first, so that the choice is the same on every machine.
    Where no row is scored the first ones are taken.

    Returns:
        Up to three rows of a kind, the best first, then the worst from the bottom up: `kind`
        (`best`, `worst` or `first`), `set`, `ranked_by` (a score's name, or None), `id`, `document`
        (its beginning), `reference` (None where there is none), `prediction`, and `scores`, the
        row's, by name.
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
        # No row is both.
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
