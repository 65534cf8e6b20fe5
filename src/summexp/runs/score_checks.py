"""Checks of the score names of a run, after its metrics are loaded.

Those of our own are checked with the config; what a metric of the `evaluate` library computes shows
when it is loaded, before the model is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from summexp.errors import ConfigError, Problem, nearest
from summexp.metrics.evaluate_metric import EvaluateMetric
from summexp.metrics.registry import METRICS
from summexp.metrics.score import COUNTS, GEN_LEN, LOSS, flat_name, names_of

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.metrics.metric import Metric


def check_scores(config: Config, sets: Sequence[str], metrics: Sequence[Metric]) -> None:
    """Check the names of the scores that are computed of some sets.

    Args:
        config: of the run.
        sets: `eval` or `eval_<name>`, and `predict`.
        metrics: loaded.

    Raises:
        ConfigError: two scores would have one name, or one that the config goes by is not computed.
    """
    foreign = [metric for metric in metrics if isinstance(metric, EvaluateMetric)]
    if not foreign:
        return
    problems = [*_collisions(sets, metrics, foreign), *_unknown(config, foreign)]
    if problems:
        raise ConfigError(problems)


def _collisions(
    sets: Sequence[str], metrics: Sequence[Metric], foreign: Sequence[EvaluateMetric]
) -> Iterator[Problem]:
    """Yield each metric that has a score whose name another one has too.

    The names of our own metrics count even where these are not computed: a score of theirs is
    something else.
    """
    own = [*METRICS.values(), *(metric for metric in metrics if metric not in foreign)]
    owners: dict[str, str] = {}
    for one in sets:
        owners |= {flat_name(one, name): "every run" for name in (LOSS.name, GEN_LEN.name, *COUNTS)}
        for metric in own:
            for score in metric.scores:
                owners |= {flat_name(one, name): metric.name for name in names_of(score.name)}
    for metric in foreign:
        taken: list[str] = []
        for one in sets:
            for score in metric.scores:
                names = [flat_name(one, name) for name in names_of(score.name, baseline=False)]
                taken += [name for name in names if name in owners]
                owners |= {name: f"{metric.name} of {one}" for name in names if name not in owners}
        if taken:
            yield Problem(
                key="metric.names",
                what=f"{metric.name} computes {taken[0]}, which is a name of {owners[taken[0]]}",
                hint="Copy the metric into a folder of another name, or rename the validation set.",
            )


def _unknown(config: Config, foreign: Sequence[EvaluateMetric]) -> Iterator[Problem]:
    """Yield each key that goes by a score which its metric turns out not to compute.

    Of whichever set: the command may predict alone, and the best model be of the training before.
    """
    sets = (*config.data.validation_prefixes, "predict")
    keys = {
        "objective": config.objective,
        "training.metric_for_best_model": config.training.metric_for_best_model or "",
    }
    for key, chosen in keys.items():
        for metric in foreign:
            own = [name for score in metric.scores for name in names_of(score.name, baseline=False)]
            known = [*own, *(flat_name(one, name) for one in sets for name in own)]
            is_its = any(metric.may_compute(chosen.removeprefix(f"{one}_")) for one in sets)
            if is_its and chosen not in known:
                listed = ", ".join(score.name for score in metric.scores)
                yield Problem(
                    key=key,
                    what=f"there is no metric {chosen!r}",
                    hint=nearest(chosen, known) or f"{metric.name} computes {listed}.",
                )
