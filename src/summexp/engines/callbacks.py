"""What looks on while a model is trained, and does not steer it: progress, trackers, profiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import (
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.integrations import get_reporting_integration_callbacks

from summexp.engines.divergence import keep_valid_json
from summexp.engines.protocol import TrainingJob
from summexp.launch.ranks import is_main


def onlookers(job: TrainingJob) -> list[TrainerCallback]:
    """Return what shows and measures the training of `job`; a Trainer has trackers already."""
    callbacks: list[TrainerCallback] = [job.progress]
    if job.model.device.type == "xla":
        from summexp.engines.xla import Programs

        callbacks.append(Programs())
    if job.config.debug.profile and is_main():
        from summexp.engines.profiling import StepProfiler

        callbacks.append(StepProfiler(job.folder / "profile"))
    return callbacks


class Onlookers:
    """Everyone who looks on at a loop that is not the Trainer's, the trackers among them."""

    def __init__(
        self,
        job: TrainingJob,
        args: Seq2SeqTrainingArguments,
        state: TrainerState,
        watch: TrainerCallback,
    ) -> None:
        """Tell them, and `watch`, of the training of `job`, as `state` has it at each moment."""
        trackers = [kind() for kind in get_reporting_integration_callbacks(args.report_to)]
        self._callbacks = [*onlookers(job), *trackers, watch]
        self._model, self._args, self._state = job.model, args, state

    def tell(self, event: str, **values: Any) -> None:
        """Tell of an event, by the Trainer's name of it, such as `on_step_end`."""
        control = TrainerControl()
        for callback in self._callbacks:
            tell = getattr(callback, event)
            tell(self._args, self._state, control, model=self._model, **values)

    def log(self, values: Mapping[str, float]) -> None:
        """Keep values in the training's history, and show them."""
        shown = {**values, "epoch": self._state.epoch or 0.0}
        self._state.log_history.append({**shown, "step": self._state.global_step})
        self.tell("on_log", logs=shown)
        keep_valid_json(self._state)
