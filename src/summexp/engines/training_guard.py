"""Training guard: stops training on a signal, or when the loss stays non-finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from summexp.distributed.ranks import any_reduce
from summexp.distributed.signals import StopRequest
from summexp.engines.divergence import last_finite
from summexp.errors import RunError
from summexp.evaluation.divergence import advice

if TYPE_CHECKING:
    from summexp.engines.generated.training_config import TrainingConfig
    from summexp.engines.protocol import TrainingJob
    from summexp.evaluation.evaluate import EvaluationResult

_PATIENCE = 10
"""Non-finite losses in a row before training fails; a loss scaler needs a few."""


class StoppedError(Exception):
    """A signal was received outside of a step: before the first one, or during an evaluation."""


def exit_on_request(request: StopRequest) -> None:
    """Exit the run if any rank received a signal; call it equally often on every rank.

    Raises:
        Stopped: a signal was received; raised on every rank.
    """
    if any_reduce(request.received)[0]:
        request.announce()
        request.exit()


class FiniteLossGuard:
    """Counts non-finite losses in a row, on their device."""

    def __init__(self) -> None:
        self._in_a_row: torch.Tensor | None = None
        self._count = 0

    def update(self, loss: torch.Tensor) -> None:
        """Count the loss of a micro-batch."""
        before = torch.zeros((), device=loss.device) if self._in_a_row is None else self._in_a_row
        self._in_a_row = torch.where(torch.isfinite(loss.detach()), 0.0, before + 1)
        self._count += 1

    def is_diverged(self) -> bool:
        """Return whether the loss stays non-finite; checked rarely, since it synchronizes."""
        if self._in_a_row is None or self._count < _PATIENCE:
            return False
        self._count = 0
        return self._in_a_row.item() >= _PATIENCE

    def last_is_finite(self) -> bool:
        """Return whether the last loss was finite; synchronizes with the device."""
        return self._in_a_row is None or not self._in_a_row.item()


class TrainingGuard(TrainerCallback):
    """Trainer callback that stops training, after the same step on every rank.

    Training stops with a checkpoint on a signal, and fails when the loss stays non-finite.
    """

    def __init__(self, request: StopRequest, training: TrainingConfig, folder: Path) -> None:
        """Create the guard of a training into a run folder; `request` stops it."""
        self.losses = FiniteLossGuard()
        self.stops = False
        self.grad_norm: torch.Tensor | float = 0.0
        """Norm of the last step's gradient, set by the loop."""
        self._request = request
        self._request.announcement = self._announcement
        self._fp16 = training.fp16
        self._folder = folder
        self._begun = False
        self._evaluates = self._saves = False
        self._step = self._saved = 0

    def _announcement(self) -> str:
        """Return the message to print if a signal is received now."""
        if not self._begun:
            return "stopping before the first step: nothing to save"
        in_step = not (self.stops or self._evaluates or self._saves)
        if not in_step and self._step == self._saved:
            return f"stopping; checkpoint-{self._step} is already saved"
        return f"saving checkpoint-{self._step + 1 if in_step else self._step}"

    def ends_after(self, step: int) -> bool:
        """Return whether a signal ends the training after `step`, the same on every rank.

        Raises:
            RunError: the loss stays non-finite.
        """
        self._step = step
        asked, is_diverged = any_reduce(self._request.received, self.losses.is_diverged())
        if is_diverged:
            raise RunError(
                f"the loss is not finite at step {step}, for at least the last {_PATIENCE} "
                f"batches{last_finite(self._folder)}. {advice(fp16=self._fp16)}"
            )
        if asked:
            self._stop()
        return self.stops

    def _stop(self) -> None:
        self.stops = True
        # This rank may not have received the signal.
        self._request.announce()

    def check_end(self, step: int) -> None:
        """Check that the last loss and the last gradient are finite; call it on every rank.

        Finite weights are not enough: a step with a non-finite gradient may not change them. Losses
        that were non-finite for a while and then recovered are no failure.

        Raises:
            RunError: one of them is not finite.
        """
        # Gradients may overflow in fp16: the loss scaler then skips the step.
        steep = not self._fp16 and not math.isfinite(self.grad_norm)
        lost, steep = any_reduce(not self.losses.last_is_finite(), steep)
        if lost or steep:
            what = "loss" if lost else "norm of the gradient"
            raise RunError(
                f"training ended at step {step} with a {what} that is not finite"
                f"{last_finite(self._folder)}. {advice(fp16=self._fp16)}"
            )

    def exit(self, step: int) -> None:
        """Exit the run if a signal stopped the training after `step`.

        Raises:
            Stopped: a signal was received.
            RunError: see `check_end`.
        """
        if self.stops:
            self._request.exit()
        self.check_end(step)

    def evaluate(
        self,
        job: TrainingJob,
        model: PreTrainedModel,
        before: Callable[[PreTrainedModel], None] = lambda _: None,
    ) -> list[EvaluationResult]:
        """Evaluate every validation set, or abort on a signal.

        Args:
            job: evaluates.
            model: the unsharded model.
            before: called with it first; signals wait.

        Raises:
            StoppedError: on every rank, after the same batch.
        """
        self._evaluates = True
        try:
            before(model)
            return job.evaluate(model, self._abort_evaluation)
        finally:
            self._evaluates = False

    def save(self, write: Callable[[], None]) -> None:
        """Call `write` to save a checkpoint of this step, unless it exists; signals wait."""
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

    def on_train_begin(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Start at the step from which training resumes, or at 0."""
        self._step = self._saved = state.global_step

    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Abort the training if a signal was received before the first step.

        Raises:
            StoppedError: on every rank.
        """
        if not self._begun:
            if any_reduce(self._request.received)[0]:
                self._stop()
                raise StoppedError
            self._begun = True

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_kwargs: Any
    ) -> None:
        """Stop after this step if a signal was received."""
        if self.ends_after(state.global_step):
            control.should_save = True
            control.should_evaluate = False
            control.should_training_stop = True

    def on_evaluate(self, args: Any, state: Any, control: TrainerControl, **_kwargs: Any) -> None:
        """Stop if a signal was received while the summaries were scored."""
        if any_reduce(self._request.received)[0] and self._begun:
            self._stop()
            control.should_save = True
            control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: TrainerControl, **_kwargs: Any) -> None:
        """Neither save nor evaluate again after a stop."""
        if self.stops:
            control.should_save = control.should_evaluate = False

    def on_save(self, args: Any, state: Any, control: TrainerControl, **_kwargs: Any) -> None:
        """Stop if a signal was received while a checkpoint was written."""
        if self.stops:
            control.should_training_stop = True
