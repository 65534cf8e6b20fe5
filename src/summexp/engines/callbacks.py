"""Trainer callbacks that report on training: progress, trackers, profiler.

Tested in tests/engines/test_trainer.py, tests/engines/test_accelerate.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from transformers import (
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from summexp.distributed.ranks import is_main
from summexp.engines.divergence import keep_valid_json
from summexp.engines.protocol import TrainingJob
from summexp.upstream.transformers import tracker_callbacks

log = logging.getLogger(__name__)

_WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau", "greedy")


def training_callbacks(job: TrainingJob) -> list[TrainerCallback]:
    """Return the callbacks that report on the training of `job`, without the trackers."""
    callbacks: list[TrainerCallback] = [job.progress, WarmupWarning()]
    if job.model.device.type == "xla":
        from summexp.engines.xla import Programs

        callbacks.append(Programs())
    if job.profile and is_main():
        from summexp.engines.profiling import StepProfiler

        callbacks.append(StepProfiler(job.folder / "profile"))
    return callbacks


class WarmupWarning(TrainerCallback):
    """Warns if the training ends before the learning rate reaches its value."""

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Compare the steps of the warm-up with those of the training."""
        steps = args.get_warmup_steps(state.max_steps)
        if args.lr_scheduler_type not in _WITHOUT_WARMUP and steps >= state.max_steps and is_main():
            log.warning(
                "training.warmup_steps (%d) are not fewer than the %d steps of the training: the "
                "learning rate never reaches training.learning_rate",
                steps,
                state.max_steps,
            )


class CallbackHandler:
    """Calls the Trainer callbacks, trackers included, from the loop of `engine=accelerate`."""

    def __init__(
        self,
        job: TrainingJob,
        args: Seq2SeqTrainingArguments,
        state: TrainerState,
        guard: TrainerCallback,
    ) -> None:
        """Create the callbacks; `state` is passed to each of them."""
        trackers = tracker_callbacks(job.trackers)
        self._callbacks = [*training_callbacks(job), *trackers, guard]
        self._model, self._args, self._state = job.model, args, state

    def call_event(self, event: str, **values: Any) -> None:
        """Call the method of every callback for an event, such as `on_step_end`."""
        control = TrainerControl()
        for callback in self._callbacks:
            method = getattr(callback, event)
            method(self._args, self._state, control, model=self._model, **values)

    def log(self, values: Mapping[str, float]) -> None:
        """Append values to the log history, and log them."""
        shown = {**values, "epoch": self._state.epoch or 0.0}
        self._state.log_history.append({**shown, "step": self._state.global_step})
        self.call_event("on_log", logs=shown)
        keep_valid_json(self._state)
