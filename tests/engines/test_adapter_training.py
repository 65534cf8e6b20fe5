"""With an adapter: checkpoints go on bit by bit, and what is saved at the end is a whole model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.engines.jobs import job, training
from tests.evaluation.test_evaluate import evaluation_set, settings
from tests.modeling.tiny_models import Tiny, config, make, make_loud
from transformers import AutoModelForSeq2SeqLM

from summexp.engines.config import EngineConfig
from summexp.engines.protocol import FitResult
from summexp.engines.registry import build_engine
from summexp.evaluation.evaluate import evaluate
from summexp.modeling.config import PeftConfig

ENGINES = ["trainer", "accelerate"]
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dora": {"use_dora": True},
    "more": {"bias": "all", "modules_to_save": ["embed_positions"]},
}


@dataclass(frozen=True)
class Trained:
    tiny: Tiny
    fitted: FitResult
    predictions: list[list[str]]


def train(
    folder: Path, engine: str, resume_from: Path | None = None, *, peft: Any = None, **fields: Any
) -> Trained:
    """Train a BART of noisy weights for six steps, with dropout, evaluating after three and six."""
    tiny = make(config("bart"), peft=PeftConfig(name="lora", **(peft or {})))
    make_loud(tiny.model)
    collate = job(folder, tiny=tiny).collate
    predictions = []

    def evaluated(model: Any, each: Any) -> Any:
        found = evaluate(
            model, tiny.tokenizer, collate, evaluation_set(tiny), settings(tiny), lambda _: each()
        )
        predictions.append(found.predictions)
        return [found]

    chosen = {
        "max_steps": 6,
        "per_device_train_batch_size": 6,
        "learning_rate": 2e-2,
        "do_eval": True,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "save_strategy": "steps",
        "save_steps": 3,
        **fields,
    }
    one = job(folder, tiny=tiny, evaluate=evaluated, training=training(**chosen))
    fitted = build_engine(EngineConfig(name=engine)).fit(one, resume_from)
    evaluated(fitted.model, lambda: None)
    return Trained(tiny, fitted, predictions)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def is_of_the_adapter(name: str) -> bool:
    return ".lora_" in name


@pytest.mark.parametrize("engine", ENGINES)
def test_the_adapter_alone_is_trained_and_the_model_that_is_saved_is_complete(
    engine: str, tmp_path: Path
) -> None:
    trained = train(tmp_path, engine)
    first, last = (weights(tmp_path / f"checkpoint-{step}") for step in (3, 6))
    assert {name for name in last if not first[name].equal(last[name])} == {
        name for name in last if is_of_the_adapter(name)
    }
    merged = weights(tmp_path)
    fresh = make(config("bart")).model.state_dict()
    assert merged.keys() <= fresh.keys()
    for name, weight in merged.items():
        layer, _, kind = name.rpartition(".")
        base = last.get(f"{layer}.base_layer.{kind}", last.get(name))
        assert base is not None
        if f"{layer}.lora_A.default.weight" in last and kind == "weight":
            a, b = (last[f"{layer}.lora_{side}.default.weight"] for side in "AB")
            assert b.abs().max() > 0
            base = base + 16 / 8 * b @ a
        torch.testing.assert_close(weight, base)
    # What was said in training is what the folder says, and there is something to tell apart.
    assert trained.predictions[-1] == trained.predictions[-2] != trained.predictions[0]
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert all(one.equal(loaded.state_dict()[name]) for name, one in merged.items())
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_base_stays_as_it_was(engine: str, tmp_path: Path) -> None:
    tiny = make(config("t5"), peft=PeftConfig(name="lora"))
    before = {name: one.clone() for name, one in tiny.model.state_dict().items()}
    fields = {"max_steps": 3, "save_strategy": "steps", "save_steps": 3, "weight_decay": 0.1}
    one = job(tmp_path, tiny=tiny, training=training(**fields))
    build_engine(EngineConfig(name=engine)).fit(one, None)
    after = weights(tmp_path / "checkpoint-3")
    changed = {name for name in after if not after[name].equal(before[name])}
    assert changed == {name for name in after if is_of_the_adapter(name)}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_it_resumes_bit_by_bit(engine: str, variant: str, tmp_path: Path) -> None:
    peft = VARIANTS[variant]
    whole = train(tmp_path / "whole", engine, peft=peft)
    rest = train(tmp_path / "rest", engine, tmp_path / "whole" / "checkpoint-3", peft=peft)
    for name in ("", "checkpoint-6"):
        one, other = weights(tmp_path / "whole" / name), weights(tmp_path / "rest" / name)
        assert one.keys() == other.keys()
        assert [key for key in one if not one[key].equal(other[key])] == []
    assert rest.predictions == whole.predictions[1:]
    first, last = (weights(tmp_path / "whole" / f"checkpoint-{step}") for step in (3, 6))
    changed = {name for name in last if not first[name].equal(last[name])}
    assert any("magnitude" in name for name in changed) == (variant == "dora")
    assert any("embed_positions" in name for name in changed) == (variant == "more")
    assert any("fc1.bias" in name for name in changed) == (variant == "more")


@pytest.mark.parametrize("engine", ENGINES)
def test_the_best_adapter_is_merged_at_the_end(engine: str, tmp_path: Path) -> None:
    best = {
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": True,
    }
    # The loss goes down, and the model with the highest is said to be the best.
    trained = train(tmp_path, engine, **best)
    assert trained.predictions[-1] == trained.predictions[0] != trained.predictions[1]
    a_query = "model.decoder.layers.0.self_attn.q_proj"
    third = weights(tmp_path / "checkpoint-3")
    a, b = (third[f"{a_query}.lora_{side}.default.weight"] for side in "AB")
    merged = weights(tmp_path)[f"{a_query}.weight"]
    torch.testing.assert_close(merged, third[f"{a_query}.base_layer.weight"] + 2 * b @ a)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert saved[f"base_model.model.{a_query}.lora_A.weight"].equal(a)


def test_the_engines_have_the_same_numbers(tmp_path: Path) -> None:
    logged = []
    for engine in ENGINES:
        train(tmp_path / engine, engine)
        state = json.loads((tmp_path / engine / "trainer_state.json").read_text())
        steps = [one for one in state["log_history"] if "loss" in one]
        logged.append([(one["loss"], one["grad_norm"]) for one in steps])
    assert len(logged[0]) == 6
    for one, other in zip(*logged, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    one, other = (weights(tmp_path / engine) for engine in ENGINES)
    assert all(one[name].allclose(other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_of_checkpointed_activations_trains_the_adapter_too(
    engine: str, tmp_path: Path
) -> None:
    """Nothing that the encoder is fed needs a gradient, which some ways of doing so depend on."""
    for name, saves in (("usual", False), ("recomputed", True)):
        train(tmp_path / name, engine, activation_checkpointing=saves, peft={"dropout": 0.0})
    one, other = (weights(tmp_path / name / "checkpoint-6") for name in ("usual", "recomputed"))
    assert all(one[name].allclose(other[name], atol=1e-6) for name in one)
