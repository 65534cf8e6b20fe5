"""What can be found wrong with BERTScore's encoder without importing torch."""

from __future__ import annotations

from collections.abc import Iterator

from summexp.errors import Problem
from summexp.metrics.config import MetricConfig, bertscore_model
from summexp.metrics.language import primary
from summexp.modeling.model_checks import existing_folder, name_problem


def check_encoder(
    config: MetricConfig, language: str | None, *, offline: bool
) -> Iterator[Problem]:
    """Yield why BERTScore's encoder cannot be loaded, where its name is known before the data are.

    Args:
        config: the `metric` group.
        language: `data.language`; where that is None too, the encoder depends on the summaries.
        offline: whether the Hub's cache is all there is.
    """
    if "bertscore" not in config.names or (config.bertscore_model is None and language is None):
        return
    name = config.bertscore_model or bertscore_model(primary(language or "und"))
    if existing_folder(name) is not None:
        return
    if problem := name_problem("metric.bertscore_model", name, None, offline=offline):
        yield problem
