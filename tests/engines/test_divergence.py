from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.jobs import job, training
from tests.evaluation.test_evaluate import evaluated
from tests.modeling.tiny_models import config, make

from summexp.distributed.signals import stop_requests
from summexp.engines.config import EngineConfig
from summexp.engines.protocol import TrainingJob
from summexp.engines.registry import build_engine
from summexp.engines.training_guard import TrainingGuard
from summexp.errors import RunError
from summexp.modeling.adapters import add_adapter, lora_config
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.run_folder.checkpoints import checkpoints, write_manifest

ENGINES = pytest.mark.parametrize("engine", ["trainer", "accelerate"])


def strict_json(path: Path) -> Any:
    def reject(token: str) -> None:
        raise AssertionError(f"{path.name} holds {token}, which is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=reject)


def poison(one: TrainingJob, batch: int) -> None:
    """Let the weights become NaN as the n-th batch comes in."""
    seen = []

    def hook(*_: Any) -> None:
        seen.append(1)
        if len(seen) == batch:
            with torch.no_grad():
                one.model.get_input_embeddings().weight.fill_(math.nan)

    one.model.register_forward_pre_hook(hook)


@ENGINES
@pytest.mark.parametrize("peft", ["none", "lora"])
def test_weights_that_are_not_finite_end_the_shortest_run(
    engine: str, peft: str, tmp_path: Path
) -> None:
    loop = EngineConfig(name=engine)
    # What LoRA adds is divided by the next normalization, and takes longer to overflow.
    hard = {"max_steps": 4, "learning_rate": 1e38} if peft == "lora" else {"max_steps": 2}
    options = training(**{"per_device_train_batch_size": 4, "learning_rate": 1e30, **hard})
    one = job(tmp_path, engine=loop, training=options)
    if peft == "lora":
        adapter = lora_config(PeftConfig(name="lora"), one.model, ModelConfig(name_or_path="tiny"))
        add_adapter(one.model, adapter, seed=0)
    with pytest.raises(RunError, match=r"at step \d|after step \d") as caught:
        build_engine(loop).fit(one, None)
    assert "training.learning_rate" in str(caught.value)
    assert not (tmp_path / "config.json").exists()
    assert not list(tmp_path.glob("*.safetensors"))


@ENGINES
def test_no_checkpoint_is_made_of_them_and_the_last_good_one_stays(
    engine: str, tmp_path: Path
) -> None:
    loop = EngineConfig(name=engine)
    options = training(
        max_steps=6,
        per_device_train_batch_size=4,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=1,
    )
    one = job(tmp_path, engine=loop, training=options)
    poison(one, 3)
    with pytest.raises(RunError, match=r"not finite after step 4.*checkpoint-2") as caught:
        build_engine(loop).fit(one, None)
    assert "shared.weight" in str(caught.value)
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2"]


@ENGINES
def test_weights_that_are_not_finite_are_not_evaluated_last(engine: str, tmp_path: Path) -> None:
    loop = EngineConfig(name=engine)
    options = training(
        max_steps=3,
        per_device_train_batch_size=4,
        save_strategy="steps",
        save_steps=2,
        eval_strategy="steps",
        eval_steps=3,
        do_eval=True,
    )
    evaluations: list[int] = []
    one = job(
        tmp_path, engine=loop, training=options, evaluate=lambda *_: evaluations.append(1) or []
    )
    poison(one, 3)
    with pytest.raises(RunError, match=r"not finite after step 3.*weights is checkpoint-2"):
        build_engine(loop).fit(one, None)
    assert evaluations == []
    assert not (tmp_path / "model.safetensors").exists()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-2"]


@ENGINES
def test_a_loss_that_recovers_is_no_failure(engine: str, tmp_path: Path) -> None:
    """Neither the weights nor the last loss are hurt, and the log stays valid JSON."""
    loop = EngineConfig(name=engine)
    options = training(
        max_steps=4, per_device_train_batch_size=4, logging_nan_inf_filter=False, max_grad_norm=0
    )
    one = job(tmp_path, engine=loop, training=options)
    seen = []

    def hook(_: Any, __: Any, output: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            output.logits = torch.full_like(output.logits, torch.inf).requires_grad_()
        return output

    one.model.register_forward_hook(hook)
    fitted = build_engine(loop).fit(one, None)
    assert not math.isfinite(fitted.metrics["train_loss"])
    history = strict_json(tmp_path / "trainer_state.json")["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    lost = [loss is None for loss in losses]
    # Upstream (5.23) goes on counting from it.
    assert lost == (
        [False, True, True, True] if engine == "trainer" else [False, True, False, False]
    )


def test_the_end_is_judged_by_loss_and_gradient(tmp_path: Path) -> None:
    def ended(loss: float, norm: float, *, fp16: bool = False) -> str:
        with stop_requests() as request:
            guard = TrainingGuard(request, training(fp16=fp16), tmp_path)
            guard.losses.update(torch.tensor(loss))
            guard.grad_norm = torch.tensor(norm)
            try:
                guard.exit(7)
            except RunError as error:
                return str(error).partition(" that is")[0].rpartition("with a ")[2]
        return ""

    assert ended(1.0, 1.0) == ""
    assert ended(math.nan, 1.0) == "loss"
    assert ended(1.0, math.inf) == "norm of the gradient"
    # The loss scaler of fp16 looks for its factor by gradients that overflow.
    assert ended(1.0, math.inf, fp16=True) == ""
    assert ended(math.inf, 1.0, fp16=True) == "loss"


def test_a_loss_that_is_not_finite_names_the_last_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-2").mkdir()
    (tmp_path / "checkpoint-2" / "model.safetensors").write_bytes(b"weights")
    write_manifest(tmp_path / "checkpoint-2")
    (tmp_path / "checkpoint-4").mkdir()
    with stop_requests() as request:
        guard = TrainingGuard(request, training(), tmp_path)
        for _ in range(10):
            guard.losses.update(torch.tensor(math.nan))
        with pytest.raises(RunError, match=r"finite weights is checkpoint-2\. Try"):
            guard.check_end(5)
        with pytest.raises(RunError, match=r"finite weights is checkpoint-2\. Try"):
            guard.ends_after(5)


@pytest.mark.parametrize("options", [{}, {"generation": {"do_sample": True}}])
@pytest.mark.parametrize("model_type", ["t5", "gpt2"])
def test_an_evaluation_of_such_weights_has_no_scores(
    model_type: str, options: dict[str, Any]
) -> None:
    tiny = make(config(model_type))
    with torch.no_grad():
        tiny.model.get_input_embeddings().weight.fill_(math.nan)
    with pytest.raises(RunError, match=r"eval_loss is not finite in 3 of 3 batches.*not finite"):
        evaluated(tiny, **options)
