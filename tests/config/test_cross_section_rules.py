from __future__ import annotations

from typing import Any

import pytest
from tests.engines.jobs import run_config
from transformers import GenerationConfig

from summexp.config.cross_section_rules import rule_problems
from summexp.data.config import DataConfig
from summexp.engines.config import EngineConfig
from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.evaluation.hf_generation_config import generation_config
from summexp.metrics.config import MetricConfig
from summexp.modeling.config import ModelConfig

EVALUATED = {"do_train": True, "do_eval": True, "eval_strategy": "epoch"}


def problems(
    engine: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    metric: MetricConfig | None = None,
    **training: Any,
) -> dict[str | None, str]:
    chosen = run_config(
        metric=metric or MetricConfig(),
        engine=EngineConfig(**(engine or {})),
        data=DataConfig(**(data or {})),
        training=TrainingConfig(**{**EVALUATED, **training}),
    )
    return {problem.key: f"{problem.what} {problem.hint}" for problem in rule_problems(chosen)}


PATIENT = {"early_stopping_patience": 2}


@pytest.mark.parametrize("name", ["trainer", "accelerate"])
def test_early_stopping_depends_on_evaluations(name: str) -> None:
    engine = {"name": name, **PATIENT}
    assert problems(engine) == {}
    for without in ({"do_eval": False}, {"eval_strategy": "no"}):
        found = problems(engine, **without)
        assert "there are none" in found["engine.early_stopping_patience"]
        assert problems({"name": name}, **without) == {}


SETS = {"validation_files": {"news": "a.json", "talks": "b.json"}}


@pytest.mark.parametrize(
    ("engine", "training"),
    [
        (PATIENT, {}),
        ({}, {"load_best_model_at_end": True, "save_strategy": "epoch"}),
        ({}, {"save_strategy": "best"}),
        ({}, {"lr_scheduler_type": "reduce_lr_on_plateau"}),
        ({}, {"lr_scheduler_type": "greedy"}),
    ],
)
def test_what_depends_on_a_score_has_to_know_which_of_several_sets(
    engine: dict[str, Any], training: dict[str, Any]
) -> None:
    found = problems(engine, SETS, **training)
    assert list(found) == ["training.metric_for_best_model"]
    assert "eval_news_loss" in found["training.metric_for_best_model"]
    assert problems(engine, SETS, **training, metric_for_best_model="eval_talks_loss") == {}
    assert problems(engine, None, **training) == {}


def test_several_sets_are_no_trouble_where_no_score_is_gone_by() -> None:
    assert problems({}, SETS) == {}


@pytest.mark.parametrize("name", ["trainer", "accelerate"])
def test_a_score_that_nobody_computes(name: str) -> None:
    engine = {"name": name, **PATIENT}
    found = problems(engine, metric_for_best_model="rogueL", predict_with_generate=True)
    assert "eval_rougeL" in found["training.metric_for_best_model"]
    # Without summaries there is the loss alone.
    found = problems(engine, metric_for_best_model="rougeL")
    assert "no metric 'rougeL'" in found["training.metric_for_best_model"]
    assert "training.predict_with_generate=true" in found["training.metric_for_best_model"]


def test_what_the_other_engine_alone_has_is_reported_all_at_once() -> None:
    chosen = {"name": "accelerate", "sampler": "upstream", "loss": "upstream"}
    found = problems(
        chosen,
        neftune_noise_alpha=5.0,
        optim="galore_adamw",
        push_to_hub=True,
        hub_model_id="me/model",
    )
    assert list(found) == [
        "training.neftune_noise_alpha",
        "engine.sampler",
        "engine.loss",
        "training.optim",
        "training.hub_strategy",
    ]
    assert all("engine=trainer" in reported for reported in found.values())


def test_no_steps_at_all_are_not_trained() -> None:
    assert "training.do_train=false" in problems({}, max_steps=0)["training.max_steps"]
    assert problems({}, max_steps=1) == {}


@pytest.mark.parametrize("folder", ["gs://bucket/run", "s3://bucket", "hf://me/run"])
def test_a_run_writes_to_disk(folder: str) -> None:
    training = TrainingConfig(**EVALUATED)
    (problem,) = rule_problems(run_config(output_dir=folder, training=training))
    assert problem.key == "output_dir"
    assert folder in problem.what
    assert not list(rule_problems(run_config(output_dir="runs/a:b", training=training)))


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.7},
        {"temperature": 1.0},
        {"temperature": 0.7, "do_sample": False},
        {"temperature": 0.7, "do_sample": True},
        {"top_k": 5, "top_p": 0.9, "typical_p": 0.5, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1},
        {"min_p": 0.0},
        {"top_h": 0.0},
        {"num_beams": 1, "length_penalty": 2.0},
        {"num_beams": 1, "early_stopping": True},
        {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
        {"num_beams": 1, "length_penalty": 1.0, "early_stopping": False},
    ],
)
def test_options_of_the_other_kind_of_generation_are_rejected_as_upstream_does(
    options: dict[str, Any],
) -> None:
    model = ModelConfig(init="random", architecture={"model_type": "t5"})
    config = run_config(model=model, generation=GenerationOptions(**options))
    keys = {str(problem.key) for problem in rule_problems(config)}
    found = {key for key in keys if key.startswith("generation.")}
    try:
        generation_config(GenerationConfig(), config.generation)
        rejected = set()
    except ConfigError as error:
        rejected = {problem.key for problem in error.problems}
    assert found == rejected


def test_what_a_metric_of_others_computes_shows_later_and_its_direction_never() -> None:
    metric = MetricConfig(names=["rouge", "evaluate:owner/style"])
    for name in ("style_f1", "style", "eval_news_style_f1"):
        best = {"metric_for_best_model": name, "predict_with_generate": True}
        found = problems(data=SETS, metric=metric, **best)
        assert "the direction of a metric of evaluate" in found["training.greater_is_better"]
        assert problems(data=SETS, metric=metric, greater_is_better=False, **best) == {}
    other = {"metric_for_best_model": "stylish", "predict_with_generate": True}
    assert "no metric" in problems(metric=metric, **other)["training.metric_for_best_model"]
    assert (
        "no metric" in problems(metric_for_best_model="style_f1")["training.metric_for_best_model"]
    )


def test_the_direction_of_our_own_metrics_is_known() -> None:
    for data, name, way in (
        (None, "repeated_1grams", "lower is better"),
        (SETS, "eval_talks_length_ratio_low", "neither higher nor lower is always better"),
        (None, "eval_gen_len", "neither higher nor lower is always better"),
    ):
        best = {"metric_for_best_model": name, "predict_with_generate": True}
        assert way in problems(data=data, **best)["training.greater_is_better"]
