"""Ends a training early: for a signal, or for a loss that is no longer a number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from summexp.distributed.ranks import any_reduce
from summexp.distributed.signals import StopRequest
from summexp.errors import RunError
from summexp.evaluation.divergence import advice

if TYPE_CHECKING:
    from summexp.engines.generated.training_config import TrainingConfig
    from summexp.engines.protocol import TrainingJob
    from summexp.evaluation.evaluate import EvaluationResult

_PATIENCE = 10
"""Losses in a row that are not finite before training is given up; a loss scaler needs a few."""


class StoppedError(Exception):
    """A signal came outside of a step: before the first one, or during an evaluation."""


def exit_on_request(request: StopRequest) -> None:
    """Exit the run if a signal came to any rank; every rank has to call it as often.

    Raises:
        Stopped: on every rank, as a rule.
    """
    if any_reduce(request.received)[0]:
        request.announce()
        request.exit()


class FiniteLossGuard:
    """Counts losses in a row that are not finite, on their device."""

    def __init__(self) -> None:
        self._in_a_row: torch.Tensor | None = None
        self._count = 0

    def update(self, loss: torch.Tensor) -> None:
        """Count the loss of a micro-batch."""
        before = torch.zeros((), device=loss.device) if self._in_a_row is None else self._in_a_row
        self._in_a_row = torch.where(torch.isfinite(loss.detach()), 0.0, before + 1)
        self._count += 1

    def gives_up(self) -> bool:
        """Return whether the loss stays not finite; checks rarely, as that is a wait."""
        if self._in_a_row is None or self._count < _PATIENCE:
            return False
        self._count = 0
        return self._in_a_row.item() >= _PATIENCE

    def last_is_finite(self) -> bool:
        """Return whether the last loss was finite; waits for the device."""
        return self._in_a_row is None or not self._in_a_row.item()


class TrainingGuard(TrainerCallback):  # type: ignore[misc]
    """After each step, on every rank alike: stop for a signal, or give up a loss."""

    def __init__(self, request: StopRequest, training: TrainingConfig) -> None:
        """Watch for `request` in a training that is configured by `training`."""
        self.losses = FiniteLossGuard()
        self.stops = False
        self.grad_norm: torch.Tensor | float = 0.0
        """Norm of the last step's gradient, which the loop keeps here."""
        self._request = request
        self._request.announcement = self._announcement
        self._fp16 = training.fp16
        self._begun = False
        self._evaluates = self._saves = False
        self._step = self._saved = 0

    def _announcement(self) -> str:
        """Return what a signal that comes now leads to."""
        if not self._begun:
            return "stopping before the first step: nothing to save"
        in_step = not (self.stops or self._evaluates or self._saves)
        if not in_step and self._step == self._saved:
            return f"stopping; checkpoint-{self._step} is saved already"
        return f"saving checkpoint-{self._step + 1 if in_step else self._step}"

    def ends_after(self, step: int) -> bool:
        """Return whether `step` was the last because a signal came, the same on every rank.

        Raises:
            RunError: the loss stays not finite.
        """
        self._step = step
        asked, gives_up = any_reduce(self._request.received, self.losses.gives_up())
        if gives_up:
            raise RunError(
                f"the loss is not a number at step {step}, for the last {_PATIENCE} batches at "
                f"least. {advice(fp16=self._fp16)}"
            )
        if asked:
            self._stop()
        return self.stops

    def _stop(self) -> None:
        self.stops = True
        # This rank may not have been sent the signal.
        self._request.announce()

    def check_end(self, step: int) -> None:
        """Check that the last loss and the last gradient are finite; every rank has to call this.

        The weights alone do not tell: a step whose gradient is not finite may leave them as they
        are. What was not finite for a while, and then was, is no failure.

        Raises:
            RunError: one is not.
        """
        # fp16's loss scaler finds its factor by gradients that overflow, and leaves out the step.
        steep = not self._fp16 and not math.isfinite(self.grad_norm)
        lost, steep = any_reduce(not self.losses.last_is_finite(), steep)
        if lost or steep:
            what = "loss" if lost else "norm of the gradient"
            raise RunError(
                f"training ended at step {step} with a {what} that is not a number. "
                f"{advice(fp16=self._fp16)}"
            )

    def exit(self, step: int) -> None:
        """Exit the run if a signal stopped the training after `step`.

        Raises:
            Stopped: as a rule.
            RunError: see `check_end`.
        """
        if self.stops:
            self._request.exit()
        self.check_end(step)

    def evaluate(self, job: TrainingJob, model: PreTrainedModel) -> list[EvaluationResult]:
        """Evaluate every validation set, or abort that if a signal comes.

        Raises:
            StoppedError: on every rank, after the same batch.
        """
        self._evaluates = True
        try:
            return job.evaluate(model, self._abort_evaluation)
        finally:
            self._evaluates = False

    def save(self, write: Callable[[], None]) -> None:
        """Let `write` write a checkpoint of this moment, unless there is one; no signal ends it."""
        if self._step == self._saved:
            return
        self._saves = True
        write()
        self._saves, self._saved = False, self._step
        if any_reduce(self._request.received)[0]:
            self._stop()

    def _abort_evaluation(self) -> None:
        if any_reduce(self._request.received)[0]:
            self._stop()
            raise StoppedError

    def on_train_begin(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Begin at the step of the checkpoint that training resumes from, or at none."""
        self._step = self._saved = state.global_step

    def on_step_begin(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Abort the training if a signal came before the first step.

        Raises:
            StoppedError: on every rank.
        """
        if not self._begun:
            if any_reduce(self._request.received)[0]:
                self._stop()
                raise StoppedError
            self._begun = True

    def on_step_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Decide whether this was the last step."""
        if self.ends_after(state.global_step):
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True

    def on_evaluate(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Stop if a signal came once the summaries were generated, while they were scored."""
        if any_reduce(self._request.received)[0] and self._begun:
            self._stop()
            control.should_save = True
            control.should_training_stop = True

    def on_epoch_end(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Do nothing more where the step was the last."""
        if self.stops:
            control.should_save = control.should_evaluate = False

    def on_save(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Stop if a signal came while a checkpoint was written."""
        if self.stops:
            control.should_training_stop = True
