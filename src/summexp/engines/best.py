"""Which evaluation was the best, and whether training has gained nothing for too long."""

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
    """Return the metric by which weights are best, such as `eval_rougeL`."""
    name = args.metric_for_best_model
    return name if name is None or name.startswith("eval_") else f"eval_{name}"


def best_score(args: Seq2SeqTrainingArguments, metrics: Mapping[str, float]) -> float | None:
    """Return the score of an evaluation by which weights are best, if one was named.

    Raises:
        RunError: it was not computed.
    """
    name = best_score_name(args)
    if name is None:
        return None
    if name not in metrics:
        raise RunError(
            f"training.metric_for_best_model: {name} was not computed, as no validation row has a "
            f"reference, or none was scored; there are {', '.join(metrics)}"
        )
    return metrics[name]


def is_better(args: Seq2SeqTrainingArguments, score: float, best: float | None) -> bool:
    """Return whether a score beats the best one before it."""
    sign = 1 if args.greater_is_better else -1
    return sign * score > (-math.inf if best is None else sign * best)


def gains_nothing(
    args: Seq2SeqTrainingArguments, engine: EngineConfig, history: Iterable[Mapping[str, Any]]
) -> bool:
    """Return whether the last `engine.early_stopping_patience` evaluations gained nothing.

    Counted from what was logged, so that a run that resumes counts on (upstream's callback, 5.23,
    begins anew).

    Args:
        args: the score's name, and which direction is better.
        engine: the patience, and by how much a score has to be better.
        history: what was logged, in order.
    """
    name = best_score_name(args)
    if engine.early_stopping_patience is None or name is None:
        return False
    best: float | None = None
    without_gain = 0
    # What was evaluated before the first step is nothing to be better than, and the Trainer (5.23)
    # evaluates a step again where it resumes with `eval_on_start`.
    scores = {entry["step"]: entry[name] for entry in history if name in entry and entry["step"]}
    for score in scores.values():
        better = is_better(args, score, best)
        gains = better and (best is None or abs(score - best) > engine.early_stopping_threshold)
        without_gain = 0 if gains else without_gain + 1
        best = score if better else best
    if without_gain < engine.early_stopping_patience:
        return False
    log.info("training ends early: evaluations without a better %s: %d", name, without_gain)
    return True
