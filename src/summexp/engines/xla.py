"""Training on the cores of a TPU.

There is one program, written as if for one device, which the compiler splits over the cores: each
batch is laid out with a share of its rows on every core and the weights with a copy on each, from
which the compiler concludes what the cores have to exchange (the sum of the gradients). It compiles
anew for every shape, so batches have one: padded to the longest document and summary, and a short
one filled up with rows that count for nothing.

Imports torch_xla, which reads its variables then: `runs.process_environment.prepare` comes first.

Tested in tests/tpu/test_tpu.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import accelerate.data_loader
import torch
import torch_xla
from torch.utils.data import DataLoader
from torch_xla.debug import metrics
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from summexp.distributed.xla import cores
from summexp.evaluation.xla import spread

log = logging.getLogger(__name__)

_WARM_UP = 20
"""Steps after which a new program is worth a warning: by then each kind of step has been taken."""


class SpreadingLoader(accelerate.data_loader.MpDeviceLoaderWrapper):  # type: ignore[misc]
    """Puts the batches of a loader on the cores, all with as many rows as the first.

    In place of torch_xla's own (2.9), which reads batches in a thread, where an error ends the
    epoch as if it were over.
    """

    def __init__(self, loader: DataLoader[Any], device: torch.device) -> None:
        """Take the batches of `loader`; accelerate asks for `device`."""
        self._loader = loader
        self.device = device

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the batches."""
        rows = 0
        for batch in self._loader:
            rows = rows or -(-len(batch["input_ids"]) // cores()) * cores()
            yield spread(batch, rows)


def spread_loaders() -> None:
    """Let accelerate (1.15) take `SpreadingLoader`, also to skip what a checkpoint has seen."""
    accelerate.data_loader.MpDeviceLoaderWrapper = SpreadingLoader


def compiled() -> int:
    """Return how many programs this process has compiled."""
    data = metrics.metric_data("CompileTime")
    return int(data[0]) if data else 0


class Programs(TrainerCallback):  # type: ignore[misc]
    """Makes a program of each step, and logs how many were compiled for the steps."""

    def __init__(self) -> None:
        self._steps = 0
        self._programs = 0
        self._last = 0
        self._before = 0

    def on_step_begin(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Count from here, leaving out what was compiled between the steps."""
        self._before = compiled()

    def on_substep_end(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Run a micro-batch, so that a step is not one program of them all."""
        torch_xla.sync()

    def on_step_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Run the step, and log new programs."""
        torch_xla.sync()
        self._steps += 1
        new = compiled() - self._before
        if new:
            self._programs += new
            self._last = state.global_step
            level = logging.WARNING if self._steps > _WARM_UP else logging.INFO
            log.log(level, "step %d: programs that XLA compiled: %d", state.global_step, new)
        self._before = compiled()

    def on_evaluate(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Log the programs that an evaluation needed."""
        new = compiled() - self._before
        if new:
            log.info(
                "evaluation at step %d: programs that XLA compiled: %d", state.global_step, new
            )

    def on_train_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Log how many there were, and since when there were no more."""
        log.info(
            "programs that XLA compiled for the steps: %d, the last in step %d of %d",
            self._programs,
            self._last,
            state.global_step,
        )
