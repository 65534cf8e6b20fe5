from __future__ import annotations

import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.jobs import job, training

from summexp.data.collate import Collator
from summexp.distributed.signals import stop_requests
from summexp.engines.config import EngineConfig
from summexp.engines.registry import build_engine
from summexp.engines.training_guard import FiniteLossGuard
from summexp.errors import RunError
from summexp.run_folder.checkpoints import checkpoints, verify

ENGINES = pytest.mark.parametrize("engine", ["trainer", "accelerate"])


def losses(*values: float) -> FiniteLossGuard:
    guard = FiniteLossGuard()
    for value in values:
        guard.update(torch.tensor(value))
    return guard


def test_only_a_loss_that_stays_infinite_is_given_up() -> None:
    assert losses(*[math.nan] * 10).is_diverged()
    assert losses(*[1.0] * 5, *[math.inf] * 15).is_diverged()
    assert not losses(*[math.nan] * 9).is_diverged()
    assert not losses(*[math.nan] * 19, 1.0).is_diverged()


@ENGINES
@pytest.mark.parametrize(
    ("fp16", "advice"), [(True, "hardware=gpu_bf16"), (False, "learning_rate")]
)
def test_training_stops_with_advice(fp16: bool, advice: str, engine: str, tmp_path: Path) -> None:
    """The weights overflow at the third step, as T5's activations do in fp16."""
    # Without a GPU the Trainer leaves fp16 aside; the guard and its words are the same.
    options = training(max_steps=100, per_device_train_batch_size=4, fp16=fp16)
    loop = EngineConfig(name=engine)
    one = job(tmp_path, engine=loop, training=options)
    batches = []

    def poison(*_: Any) -> None:
        batches.append(1)
        if len(batches) == 4:
            with torch.no_grad():
                one.model.get_input_embeddings().weight.fill_(math.nan)

    one.model.register_forward_pre_hook(poison)
    with pytest.raises(RunError, match=advice) as caught:
        build_engine(loop).fit(one, None)
    step = int(str(caught.value).split("at step ")[1].split(",")[0])
    assert 13 <= step <= 24


@ENGINES
def test_sigterm_saves_and_ends(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = EngineConfig(name=engine)
    options = training(max_steps=1000, per_device_train_batch_size=4)
    one = job(tmp_path, engine=loop, training=options)
    seen = []

    def collate(collator: Collator, rows: Any) -> Any:
        seen.append(1)
        if len(seen) == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(collator, rows)

    original = type(one.collate).__call__
    monkeypatch.setattr(type(one.collate), "__call__", collate)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        build_engine(loop).fit(one, None)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    (checkpoint,) = checkpoints(tmp_path)
    assert verify(checkpoint) is None
    assert 6 <= int(checkpoint.name.partition("-")[2]) <= 7


@ENGINES
def test_sigterm_leaves_an_evaluation_and_saves(engine: str, tmp_path: Path) -> None:
    batches = []

    def evaluate(_: Any, each_batch: Any) -> list[Any]:
        for number in range(100):
            if number == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            batches.append(number)
            each_batch()
        return []

    options = training(
        num_train_epochs=3, do_eval=True, eval_strategy="epoch", per_device_train_batch_size=16
    )
    loop = EngineConfig(name=engine)
    one = job(tmp_path, engine=loop, training=options, evaluate=evaluate)
    with pytest.raises(SystemExit):
        build_engine(loop).fit(one, None)
    assert batches == [0, 1, 2, 3]
    assert [checkpoint.name for checkpoint in checkpoints(tmp_path)] == ["checkpoint-3"]


@ENGINES
def test_sigterm_while_the_last_weights_are_saved_names_the_step(
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = training(
        max_steps=2, do_eval=True, eval_strategy="steps", per_device_train_batch_size=4
    )
    loop = EngineConfig(name=engine)
    one = job(tmp_path, engine=loop, training=replace(options, eval_steps=2))
    original, saved = type(one.tokenizer).save_pretrained, []

    def save(tokenizer: Any, folder: Any, **named: Any) -> Any:
        saved.append(Path(folder).name)
        if len(saved) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(tokenizer, folder, **named)

    monkeypatch.setattr(type(one.tokenizer), "save_pretrained", save)
    with pytest.raises(SystemExit):
        build_engine(loop).fit(one, None)
    assert saved == [tmp_path.name, "checkpoint-2"]
    assert "saving checkpoint-2" in capfd.readouterr().err
    assert (tmp_path / "model.safetensors").is_file()


def test_what_slurm_sends_is_passed_on_after_the_checkpoint() -> None:
    received: list[int] = []
    earlier = signal.signal(signal.SIGUSR2, lambda signum, _: received.append(signum))
    try:
        with stop_requests() as request:
            os.kill(os.getpid(), signal.SIGUSR2)
            assert request.received
            assert received == []
            with pytest.raises(SystemExit):
                request.exit()
            request.signum = None
        assert received == [signal.SIGUSR2]
    finally:
        signal.signal(signal.SIGUSR2, earlier)
