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

import torch
import torch_xla
from torch_xla.debug import metrics
from transformers import (
    TrainerCallback,
    TrainerState,
)

from summexp.distributed.xla import cores
from summexp.evaluation.xla import shard
from summexp.upstream.accelerate_xla import DeviceLoader, use_device_loader

log = logging.getLogger(__name__)

_WARM_UP = 20
"""Steps after which a new program is a warning: by then every kind of step has occurred."""


class ShardingLoader(DeviceLoader):
    """Shards the batches of a loader over the cores, all with as many rows as the first."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the batches."""
        rows = 0
        for batch in self.dataloader:
            rows = rows or -(-len(batch["input_ids"]) // cores()) * cores()
            yield shard(batch, rows)


def use_sharding_loader() -> None:
    """Make accelerate use `ShardingLoader` too, where it skips the batches of a checkpoint."""
    use_device_loader(ShardingLoader)


def compiled() -> int:
    """Return the number of programs that this process has compiled."""
    data = metrics.metric_data("CompileTime")
    return int(data[0]) if data else 0


class Programs(TrainerCallback):
    """Trainer callback that runs each step as a program, and logs how many were compiled."""

    def __init__(self) -> None:
        self._steps = 0
        self._programs = 0
        self._last = 0
        self._before = 0

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Reset the count, without the programs compiled between the steps."""
        self._before = compiled()

    def on_substep_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Run a micro-batch, so that a step is not a single program."""
        torch_xla.sync()

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Run the step, and log new programs."""
        torch_xla.sync()
        self._steps += 1
        new = compiled() - self._before
        if new:
            self._programs += new
            self._last = state.global_step
            level = logging.WARNING if self._steps > _WARM_UP else logging.INFO
            log.log(level, "step %d: XLA compiled programs: %d", state.global_step, new)
        self._before = compiled()

    def on_evaluate(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Log the programs that an evaluation needed."""
        new = compiled() - self._before
        if new:
            log.info("evaluation at step %d: XLA compiled programs: %d", state.global_step, new)

    def on_train_end(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Log the number of programs, and the last step that needed a new one."""
        log.info(
            "XLA compiled programs for the steps: %d, the last in step %d of %d",
            self._programs,
            self._last,
            state.global_step,
        )
