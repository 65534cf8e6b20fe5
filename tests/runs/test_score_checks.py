"""The names of scores, with metrics whose scores show when they are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.jobs import run_config
from tests.metrics.evaluate_modules import write_metric

from summexp.config.schema import Config
from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError
from summexp.metrics.config import MetricConfig
from summexp.metrics.scorer import SummaryScorer
from summexp.runs.score_checks import check_scores


def problems(
    *folders: Path, sets: tuple[str, ...] = ("eval", "predict"), config: Config | None = None
) -> list[str]:
    names = ["rouge", *(f"evaluate:{folder}" for folder in folders)]
    scorer = SummaryScorer(MetricConfig(names=names), language="en", references=[])
    scorer.load()
    try:
        check_scores(config or run_config(), sets, scorer.metrics)
    except ConfigError as error:
        return [f"{one.key}: {one.what} {one.hint}" for one in error.problems]
    return []


def test_two_scores_of_one_name_are_reported(tmp_path: Path) -> None:
    rouge = write_metric(tmp_path / "rouge", 'return {"rougeL": 0.5}')
    assert problems(rouge) == []
    # eval_a_rouge_rougeL is the ROUGE-L of the set a_rouge, and what the metric computes of a.
    (found,) = problems(rouge, sets=("eval_a", "eval_a_rouge"))
    assert "evaluate:rouge computes eval_a_rouge_rougeL, which is a name of rouge" in found
    own = write_metric(tmp_path / "bertscore", 'return {"f1": 0.5}')
    (found,) = problems(own)
    assert "evaluate:bertscore computes eval_bertscore_f1, which is a name of bertscore" in found
    speed = write_metric(tmp_path / "samples", 'return {"per_second": 0.5}')
    (found,) = problems(speed)
    assert "eval_samples_per_second, which is a name of every run" in found
    first = write_metric(tmp_path / "a", 'return {"b_c": 1}')
    second = write_metric(tmp_path / "a_b", 'return {"c": 1}')
    (found,) = problems(first, second)
    assert "evaluate:a_b computes eval_a_b_c, which is a name of evaluate:a of eval" in found
    rows = write_metric(tmp_path / "x", 'return {"y": [1.0] * len(references), "y_low": 1}')
    (found,) = problems(rows)
    assert "eval_x_y_low, which is a name of evaluate:x of eval" in found


def test_a_score_that_the_metric_does_not_compute_is_reported(tmp_path: Path) -> None:
    coverage = write_metric(tmp_path / "coverage")
    for best in ("coverage_score", "eval_coverage_rows_low", "rougeL", None):
        training = TrainingConfig(metric_for_best_model=best)
        assert problems(coverage, config=run_config(training=training)) == []
        # A command may predict alone with what was trained before.
        assert problems(coverage, sets=("predict",), config=run_config(training=training)) == []
    config = run_config(
        training=TrainingConfig(metric_for_best_model="coverage_f1"), objective="eval_coverage_r"
    )
    objective, best = problems(coverage, config=config)
    assert objective.startswith("objective: there is no metric 'eval_coverage_r'")
    assert best.startswith("training.metric_for_best_model: there is no metric 'coverage_f1'")


@pytest.mark.parametrize("name", ["loss", "rougeL"])
def test_without_such_metrics_there_is_nothing_to_check(name: str) -> None:
    config = run_config(training=TrainingConfig(metric_for_best_model=name))
    assert problems(config=config) == []
