"""Best evaluation so far, and early stopping."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import Seq2SeqTrainingArguments

from summexp.engines.config import EngineConfig
from summexp.errors import RunError

log = logging.getLogger(__name__)


def best_score_name(args: Seq2SeqTrainingArguments) -> str | None:
    """Return the metric that selects the best weights, such as `eval_rougeL`."""
    name = args.metric_for_best_model
    return name if name is None or name.startswith("eval_") else f"eval_{name}"


def best_score(args: Seq2SeqTrainingArguments, metrics: Mapping[str, float]) -> float | None:
    """Return the score of an evaluation that selects the best weights, or None if none is set.

    Raises:
        RunError: the metric was not computed.
    """
    name = best_score_name(args)
    if name is None:
        return None
    if name not in metrics:
        raise RunError(
            f"training.metric_for_best_model: {name} was not computed, since no validation row has "
            f"a reference or was scored; available: {', '.join(metrics)}"
        )
    return metrics[name]


def is_better(args: Seq2SeqTrainingArguments, score: float, best: float | None) -> bool:
    """Return whether a score is better than the best so far."""
    sign = 1 if args.greater_is_better else -1
    return sign * score > (-math.inf if best is None else sign * best)


def should_stop_early(
    args: Seq2SeqTrainingArguments, engine: EngineConfig, history: Iterable[Mapping[str, Any]]
) -> bool:
    """Return whether the last `engine.early_stopping_patience` evaluations were not better.

    Counted from the log history, so that a resumed run continues the count (the callback of
    transformers, 5.23, starts from 0).

    Args:
        args: name and direction of the score.
        engine: patience and threshold.
        history: the log history.
    """
    name = best_score_name(args)
    if engine.early_stopping_patience is None or name is None:
        return False
    best: float | None = None
    without_gain = 0
    # An evaluation before the first step does not count, and the Trainer (5.23) evaluates a step
    # again if it resumes with `eval_on_start`.
    scores = {entry["step"]: entry[name] for entry in history if name in entry and entry["step"]}
    for score in scores.values():
        better = is_better(args, score, best)
        gains = better and (best is None or abs(score - best) > engine.early_stopping_threshold)
        without_gain = 0 if gains else without_gain + 1
        best = score if better else best
    if without_gain < engine.early_stopping_patience:
        return False
    log.info("stopping early: no better %s in the last %d evaluations", name, without_gain)
    return True
