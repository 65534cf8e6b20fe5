"""Whether the Trainer of transformers still calls the methods that `HookedTrainer` overrides."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import forked
from tests.modeling.tiny_models import config, make
from torch import nn
from torch.utils.data import DataLoader
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from summexp.upstream.transformers_trainer import HookedTrainer

ROWS = [{"number": torch.tensor(float(n)), "labels": torch.tensor([-100, 1])} for n in range(4)]
"""Two labels each, the first of which is none."""


class LineConfig(PreTrainedConfig):
    model_type = "line"


class Line(PreTrainedModel):
    """A model of one weight, whose loss is the weight times the sum of the rows' numbers."""

    config_class = LineConfig

    def __init__(self) -> None:
        super().__init__(LineConfig())
        self.weight = nn.Parameter(torch.tensor([1.0]))
        self.post_init()

    def forward(self, number: torch.Tensor, labels: torch.Tensor) -> Any:
        return {"loss": (self.weight * number.sum()).sum(), "labels": labels}


class Ordered(torch.utils.data.BatchSampler):
    """Batches of one row, in an order that the epoch sets."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def set_epoch(self, epoch: int) -> None:
        self.epochs.append(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[0], [1], [2], [3]])

    def __len__(self) -> int:
        return 4


class Loader(DataLoader[Any]):
    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


class Recorder(HookedTrainer):
    """Notes what is called, and when."""

    def __init__(self, folder: Path, *, order: Ordered | None = None, **options: Any) -> None:
        self.events: list[str] = []
        self.norms: list[float] = []
        self.counts: list[Any] = []
        self.order = order or Ordered()
        self.score = 1.0
        given = {
            "learning_rate": 0.125,
            "lr_scheduler_type": "constant",
            "optim": "sgd",
            "per_device_train_batch_size": 1,
            "num_train_epochs": 1,
            "max_grad_norm": 0.0,
            "logging_steps": 100,
            "save_strategy": "no",
            "report_to": "none",
            "use_cpu": True,
            "disable_tqdm": True,
            **options,
        }
        args = Seq2SeqTrainingArguments(str(folder), **given)
        super().__init__(Line(), args, train_dataset=ROWS, eval_dataset=ROWS)

    def get_train_dataloader(self) -> Any:
        return Loader(ROWS, batch_sampler=self.order)

    def compute_loss(self, model: Any, inputs: Any, *_: Any, **kwargs: Any) -> Any:
        self.counts.append(kwargs.get("num_items_in_batch"))
        return model(**inputs)["loss"]

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        self.score -= 0.1
        return {"eval_loss": self.score}

    def on_gradient(self, norm: torch.Tensor | float) -> None:
        self.norms.append(float(norm))

    def should_save(self, *, is_best: bool) -> bool:
        self.events.append(f"best {is_best}")
        return False

    def write_checkpoint(self, write: Callable[[], None]) -> None:
        folder = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        state = folder / "trainer_state.json"
        before = state.exists()
        write()
        self.events.append(f"wrote {folder.name}")
        assert state.exists()
        assert not before, "it was written before, or in another way"

    @contextmanager
    def reading(self, checkpoint: Path) -> Iterator[None]:
        self.events.append(f"reading {checkpoint.name}")
        yield

    def on_weights_loaded(self, checkpoint: Path) -> None:
        self.events.append(f"loaded {checkpoint.name}: {self.model.weight.item()}")


def test_the_norm_of_each_gradient_is_passed_on(tmp_path: Path) -> None:
    for most in (0.0, 0.5):
        trainer = Recorder(tmp_path, max_grad_norm=most)
        trainer.train()
        assert trainer.norms == [0, 1, 2, 3], "before clipping, or without"


def test_the_loss_of_a_global_batch_is_the_sum_of_what_compute_loss_returns(
    tmp_path: Path,
) -> None:
    options = {"gradient_accumulation_steps": 2}
    trainer = Recorder(tmp_path, **options)
    trainer.use_loss_of_global_batch()
    trainer.train()
    # Numbers 0 + 1, and 2 + 3.
    assert trainer.model.weight.item() == 1 - 0.125 * (1 + 5), "the loss is scaled after all"
    assert [int(count) for count in trainer.counts] == [2, 2, 2, 2], "targets of both batches"
    stock = Recorder(tmp_path, **options)
    stock.train()
    assert stock.model.weight.item() == 1 - 0.125 * (1 + 5) / 2, "and by itself: see the docstring"
    assert stock.counts == [None] * 4


def test_the_first_label_of_a_decoder_only_model_counts(tmp_path: Path) -> None:
    shape = LlamaConfig(
        num_hidden_layers=1,
        hidden_size=8,
        num_attention_heads=2,
        intermediate_size=8,
        vocab_size=16,
    )
    model = LlamaForCausalLM(shape)
    batches = [{"labels": torch.tensor([[1, 2, -100]])}] * 2
    args = Seq2SeqTrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    trainer = HookedTrainer(model, args)
    shifted = trainer.get_batch_samples(iter(batches), 2, torch.device("cpu"))[1]
    assert int(shifted) == 2, "transformers leaves out the first label no more"
    trainer.use_loss_of_global_batch()
    assert int(trainer.get_batch_samples(iter(batches), 2, torch.device("cpu"))[1]) == 4


def test_a_checkpoint_is_written_and_read_through_the_hooks(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2}
    first = Recorder(tmp_path, **saving)
    first.train()
    assert first.events == ["wrote checkpoint-2", "wrote checkpoint-4"]
    second = Recorder(tmp_path, save_strategy="no")
    second.train(str(tmp_path / "checkpoint-2"))
    assert second.events == [
        # The weights, the optimizer, and the random numbers.
        "reading checkpoint-2",
        f"loaded checkpoint-2: {1 - 0.125 * (0 + 1)}",
        "reading checkpoint-2",
        "reading checkpoint-2",
    ]
    assert second.model.weight.equal(first.model.weight)
    third = Recorder(tmp_path / "other")
    third.train()
    third.save_checkpoint()
    assert third.events == ["wrote checkpoint-4"]


def test_whether_an_evaluation_is_worth_a_checkpoint_can_be_overruled(tmp_path: Path) -> None:
    trainer = Recorder(
        tmp_path,
        save_strategy="best",
        eval_strategy="steps",
        eval_steps=2,
        metric_for_best_model="loss",
        greater_is_better=False,
    )
    trainer.train()
    assert {*trainer.events} == {"best True"}, "none was saved, although each was better"


def test_no_checkpoint_is_deleted(tmp_path: Path) -> None:
    options = {
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 1,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
    }
    (tmp_path / "checkpoint-of-mine").mkdir()
    trainer = Recorder(tmp_path, **options)
    trainer.train()
    names = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert names == {"checkpoint-of-mine", *(f"checkpoint-{n}" for n in (1, 2, 3, 4))}
    assert trainer.args.save_total_limit == 1


def test_the_epoch_is_set_on_the_loader_also_in_the_middle_of_one(tmp_path: Path) -> None:
    """engines/batches.py relies on this public convention."""
    order = Ordered()
    saving = {"save_strategy": "steps", "save_steps": 6, "num_train_epochs": 3}
    Recorder(tmp_path, order=order, **saving).train()
    assert order.epochs == [0, 1, 2]
    resumed = Ordered()
    Recorder(tmp_path, order=resumed, num_train_epochs=3).train(str(tmp_path / "checkpoint-6"))
    assert resumed.epochs == [1, 2], "of a loader that skips batches, the batch sampler gets it"


def test_the_state_may_be_corrected_as_training_begins(tmp_path: Path) -> None:
    """engines/trainer.py relies on this public event."""
    seen = []

    class Correction(TrainerCallback):
        def on_train_begin(
            self, args: Any, state: TrainerState, _control: TrainerControl, **_: Any
        ) -> None:
            seen.append((state.global_step, state.save_steps, state.max_steps))
            state.compute_steps(args, state.max_steps)

    Recorder(tmp_path, save_strategy="steps", save_steps=2).train()
    resumed = Recorder(tmp_path / "resumed", save_strategy="steps", save_steps=3)
    resumed.add_callback(Correction)
    resumed.train(str(tmp_path / "checkpoint-2"))
    assert seen == [(2, 2, 4)], "the intervals of the checkpoint are in the state by then"
    written = [event for event in resumed.events if event.startswith("wrote")]
    assert written == ["wrote checkpoint-3", "wrote checkpoint-4"], "and those of now after it"


def test_tied_weights_are_not_reported_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(config("t5")).model
    model.save_pretrained(tmp_path)
    args = Seq2SeqTrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    root = logging.getLogger("transformers")
    propagates, root.propagate = root.propagate, True
    try:
        load = "_load_from_checkpoint"
        getattr(Seq2SeqTrainer(model, args), load)(str(tmp_path))
        assert any("missing keys" in text for text in caplog.messages), "reported no more"
        caplog.clear()
        getattr(HookedTrainer(model, args), load)(str(tmp_path))
        assert [text for text in caplog.messages if "keys" in text] == []
    finally:
        root.propagate = propagates


def rank(number: int, port: int, folder: str) -> None:
    os.environ.update(
        RANK=str(number),
        LOCAL_RANK=str(number),
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    trainer = Recorder(Path(folder), learning_rate=0.0, logging_strategy="no")
    shift = number * 10.0
    compute = trainer.compute_loss
    trainer.compute_loss = lambda *args, **kwargs: compute(*args, **kwargs) + shift  # type: ignore[method-assign]
    loss = trainer.train().metrics["train_loss"]
    Path(folder, f"{number}.json").write_text(json.dumps(loss))
    trainer.accelerator.end_training()


def test_the_loss_of_a_training_is_that_of_all_ranks(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = [forked.call(rank, number, port, str(tmp_path)) for number in range(2)]
    for process in started:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in started] == [0, 0]
    losses = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    # The mean of 0, 1, 2, 3, and 5 more of two ranks that differ by 10.
    assert losses == [1.5 + 5] * 2
