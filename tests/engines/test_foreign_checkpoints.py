from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engines.jobs import job, logged, training
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from summexp.engines.config import EngineConfig
from summexp.engines.registry import build_engine
from summexp.errors import ConfigError

ENGINES = pytest.mark.parametrize("engine", ["trainer", "accelerate"])
OPTIONS = {"per_device_train_batch_size": 4, "max_steps": 4}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that a plain Trainer wrote."""
    folder = tmp_path_factory.mktemp("plain")
    one = job(folder)
    args = Seq2SeqTrainingArguments(
        str(folder), **OPTIONS | {"max_steps": 2}, save_steps=2, report_to="none", use_cpu=True
    )
    collate = DataCollatorForSeq2Seq(one.tokenizer, one.model)
    Seq2SeqTrainer(one.model, args, collate, one.rows, processing_class=one.tokenizer).train()
    return folder / "checkpoint-2"


def copy(plain: Path, folder: Path) -> Path:
    checkpoint = folder / plain.name
    checkpoint.mkdir()
    for path in plain.iterdir():
        (checkpoint / path.name).write_bytes(path.read_bytes())
    return checkpoint


def resume(engine: str, folder: Path, checkpoint: Path, **options: Any) -> None:
    loop = EngineConfig(name=engine)
    one = job(folder / "run", engine=loop, training=training(**OPTIONS, **options))
    one.folder.mkdir()
    build_engine(loop).fit(one, checkpoint)


@ENGINES
def test_what_a_plain_trainer_wrote_is_resumed_from(
    engine: str, plain: Path, tmp_path: Path
) -> None:
    resume(engine, tmp_path, plain)
    steps = [entry["step"] for entry in logged(tmp_path / "run") if "loss" in entry]
    assert steps == [3, 4]


def change_weights(checkpoint: Path, change: Any) -> None:
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def foreign(weights: dict[str, torch.Tensor]) -> None:
    weights.clear()
    weights["of.another.model"] = torch.ones(2)


def one_missing(weights: dict[str, torch.Tensor]) -> None:
    del weights["encoder.final_layer_norm.weight"]


def other_shape(weights: dict[str, torch.Tensor]) -> None:
    weights["encoder.final_layer_norm.weight"] = torch.ones(3)


def not_finite(weights: dict[str, torch.Tensor]) -> None:
    weights["encoder.final_layer_norm.weight"][0] = math.nan


@ENGINES
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (foreign, "not of this model: of.another.model"),
        (one_missing, "missing: encoder.final_layer_norm.weight"),
        (other_shape, "of another shape: encoder.final_layer_norm.weight 3 in place of "),
        (not_finite, "not finite (NaN or infinite): encoder.final_layer_norm.weight"),
    ],
)
def test_other_weights_are_rejected(
    change: Any, words: str, engine: str, plain: Path, tmp_path: Path
) -> None:
    checkpoint = copy(plain, tmp_path)
    change_weights(checkpoint, change)
    with pytest.raises(ConfigError) as caught:
        resume(engine, tmp_path, checkpoint)
    assert words in str(caught.value)
    assert str(checkpoint) in str(caught.value)


@ENGINES
def test_progress_that_does_not_fit_is_reported(engine: str, plain: Path, tmp_path: Path) -> None:
    checkpoint = copy(plain, tmp_path)
    whole = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    whole["param_groups"].pop()
    torch.save(whole, checkpoint / "optimizer.pt")
    with pytest.raises(ConfigError, match="cannot resume from") as caught:
        resume(engine, tmp_path, checkpoint)
    assert "model.name_or_path=" in str(caught.value)


@ENGINES
def test_a_state_of_another_version_is_reported(engine: str, plain: Path, tmp_path: Path) -> None:
    checkpoint = copy(plain, tmp_path)
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    state["a_field_of_the_future"] = 1
    (checkpoint / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(ConfigError, match="a_field_of_the_future"):
        resume(engine, tmp_path, checkpoint)


@ENGINES
def test_another_model_is_rejected(engine: str, plain: Path, tmp_path: Path) -> None:
    loop = EngineConfig(name=engine)
    one = job(tmp_path, model_type="bart", engine=loop, training=training(**OPTIONS))
    with pytest.raises(ConfigError, match="does not hold the weights of this model; missing: "):
        build_engine(loop).fit(one, plain)
