"""Private methods and attributes of the Trainer of transformers, read in 5.23."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)
from transformers.trainer_pt_utils import nested_gather


class HookedTrainer(Seq2SeqTrainer):
    """A Seq2SeqTrainer with public methods where it has private ones only.

    A subclass overrides `on_gradient`, `should_save`, `write_checkpoint`, `reading` and
    `on_weights_loaded`; as they are here, they change nothing. Beside them,

    - no checkpoint is ever deleted: the Trainer deletes by its own rules, also a folder of somebody
      else that is named like a checkpoint;
    - `train_loss` is that of all ranks: the Trainer takes the losses since the last log from one;
    - tied weights, which are not in a file, are not reported as missing.
    """

    args: Seq2SeqTrainingArguments
    model: PreTrainedModel
    processing_class: PreTrainedTokenizerBase
    _tr_loss: torch.Tensor

    def on_gradient(self, norm: torch.Tensor | float) -> None:
        """Take note of the norm of each step's gradient, before the step.

        A callback is not given it, and the logs have it of some steps only.
        """

    def should_save(self, *, is_best: bool) -> bool:
        """Return whether to save after an evaluation with `save_strategy=best`.

        It would override what a callback decided.
        """
        return is_best

    def write_checkpoint(self, write: Callable[[], None]) -> None:
        """Save a checkpoint by calling `write`, which writes the folder of this step."""
        write()

    def reading(self, checkpoint: Path) -> AbstractContextManager[None]:  # noqa: ARG002
        """Return a context in which a part of `checkpoint` is read."""
        return nullcontext()

    def on_weights_loaded(self, checkpoint: Path) -> None:
        """Check the weights that were loaded from `checkpoint`."""

    def save_checkpoint(self) -> None:
        """Save a checkpoint of this step, by way of `write_checkpoint`."""
        self._save_checkpoint(self.model_wrapped, None)

    def use_loss_of_global_batch(self) -> None:
        """Take the loss of `compute_loss` as a share of the global batch's, and add the shares up.

        `compute_loss` is then given the number of target tokens in the whole global batch, also for
        a model whose own loss takes no such number.
        """
        self.model_accepts_loss_kwargs = True
        self.loss_is_scaled_for_ga = True
        # For a decoder-only model, the first label of each row would not be counted.
        self._loss_shifts_labels = False

    @contextmanager
    def _keeping_checkpoints(self) -> Iterator[None]:
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            yield
        finally:
            self.args.save_total_limit = limit

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> Any:
        norm = super()._get_grad_norm(*args, **kwargs)  # type: ignore[no-untyped-call]
        self.on_gradient(norm)
        return norm

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        return self.should_save(is_best=super()._determine_best_metric(metrics, trial))

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        def write() -> None:
            with self._keeping_checkpoints():
                super(HookedTrainer, self)._save_checkpoint(model, trial)

        self.write_checkpoint(write)

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        checkpoint = Path(resume_from_checkpoint)
        with self.reading(checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.on_weights_loaded(checkpoint)

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        shared = self.model.all_tied_weights_keys
        missing = [name for name in load_result.missing_keys if name not in shared]
        unexpected = load_result.unexpected_keys
        super()._issue_warnings_after_load(
            SimpleNamespace(missing_keys=missing, unexpected_keys=unexpected)
        )

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with self.reading(Path(checkpoint)):
                super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            with self.reading(Path(checkpoint)):
                super()._load_rng_state(checkpoint)

    def _finalize_training(self, *args: Any) -> Any:
        self._tr_loss = nested_gather(self._tr_loss, self.args.parallel_mode).mean()
        with self._keeping_checkpoints():
            return super()._finalize_training(*args)  # type: ignore[no-untyped-call]
