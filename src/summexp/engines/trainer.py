"""`engine=trainer`: the Hugging Face Seq2SeqTrainer with summexp's loss, sampler and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from summexp.data.collate import IGNORED
from summexp.distributed.ranks import barrier, this_world
from summexp.distributed.signals import StopRequest, stop_requests
from summexp.engines.batches import global_batches, training_loader
from summexp.engines.best import best_score, should_stop_early
from summexp.engines.callbacks import training_callbacks
from summexp.engines.checkpoint import (
    check_loaded,
    check_same_model,
    drop_foreign_best,
    new_checkpoint,
    read_state,
    readable,
    save_model,
    save_trained,
    save_unmerged,
)
from summexp.engines.divergence import check_weights, keep_valid_json
from summexp.engines.long_t5_workaround import give_every_weight_a_gradient
from summexp.engines.protocol import FitResult, TrainingJob
from summexp.engines.sharded import FullModel, prepare_for_fsdp, use_fsdp
from summexp.engines.trainer_arguments import job_arguments
from summexp.engines.training_guard import StoppedError, TrainingGuard
from summexp.evaluation.evaluate import EvaluationResult
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.permissions import follow_umask
from summexp.run_folder.checkpoints import keep_only, step_of
from summexp.upstream.deepspeed import silence_deprecations
from summexp.upstream.transformers import run_folder, saving_names_of_memory
from summexp.upstream.transformers_trainer import HookedTrainer


class TrainerEngine:
    """The training loop of the Hugging Face Trainer."""

    def fit(self, job: TrainingJob, resume_from: Path | None) -> FitResult:
        """Train `job.model` in place; see `Engine.fit`."""
        with stop_requests() as request:
            trainer = SummarizationTrainer(job, request, resume_from)
            # Earlier code, such as training a tokenizer, must not change the random numbers;
            # dropout differs on each rank.
            set_seed(job.seed + this_world().rank)
            if resume_from is not None:
                check_same_model(job.model, resume_from)
                read_state(resume_from)
                # The Trainer (5.23) would evaluate at the step from which it resumes.
                trainer.args.eval_on_start = False
            try:
                result = trainer.train(str(resume_from) if resume_from else None)
                trainer.keep_best()
            except StoppedError:
                trainer.save_checkpoint()
            trainer.guard.exit(trainer.state.global_step)
        trainer.save_state()
        model = trainer.full_model()
        trainer.save_final(model)
        metrics = {
            name: value for name, value in result.metrics.items() if isinstance(value, int | float)
        }
        state = trainer.state
        epochs = float(state.epoch or 0.0)
        last = trainer.last_evaluation()
        return FitResult(metrics, state.global_step, epochs, last, model, trainer.stopped_early)


class SummarizationTrainer(HookedTrainer):
    """A Seq2SeqTrainer whose loss does not depend on how the global batch is split."""

    control: TrainerControl

    def __init__(
        self, job: TrainingJob, request: StopRequest, resume_from: Path | None = None
    ) -> None:
        """Prepare the training of `job`; `request` stops it."""
        self._job = job
        self.guard = TrainingGuard(request, job.training, job.folder)
        self.stopped_early = False
        self._own_loss = job.engine.loss == "token_mean"
        self._evaluations: list[EvaluationResult] = []
        self._evaluated_step = self._saved_step = -1
        args = job_arguments(job)
        self._full_model = FullModel(job.model, is_split=bool(args.fsdp or args.deepspeed))
        give_every_weight_a_gradient(job.model)
        if args.fsdp:
            use_fsdp(args)
        elif args.deepspeed:
            silence_deprecations()
        elif args.device.type == "xla":
            from summexp.engines.xla import use_sharding_loader

            use_sharding_loader()
        super().__init__(
            model=job.model,
            args=args,
            train_dataset=job.rows,
            # The Trainer requires one in order to evaluate; `evaluate` below does not use it.
            eval_dataset=job.rows,
            data_collator=job.collate,
            processing_class=job.tokenizer,
        )
        if args.fsdp:
            prepare_for_fsdp(job.model, self.accelerator)
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        begin = BeginningState(job, resume_from)
        for callback in [begin, *training_callbacks(job), self.guard]:
            self.add_callback(callback)
        if self._own_loss:
            self.use_loss_of_global_batch()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a micro-batch as its share of the global batch's mean.

        Upstream (5.23) passes `num_items_in_batch` to T5 and BART, which ignore it, and does not
        scale their mean loss: loss and gradients grow with accumulation steps and processes.
        """
        if not self._own_loss:
            # The mean over no target, on a rank without rows, is NaN. With label smoothing
            # upstream removes the labels.
            empty = bool(inputs["labels"].eq(IGNORED).all())
            theirs = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if empty and isinstance(theirs, torch.Tensor):
                return theirs.nan_to_num(0.0)
            return theirs
        labels = inputs["labels"]
        with self._autocast():
            outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        targets = count_targets(labels) if num_items_in_batch is None else num_items_in_batch
        smoothing = self.args.label_smoothing_factor
        loss = token_loss_sum(outputs.logits, labels, smoothing) / targets
        if self.args.average_tokens_across_devices:
            # DDP averages the gradients of the processes, and their sum is needed.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _autocast(self) -> AbstractContextManager[None]:
        # Accelerate (1.15) applies autocast to a model, except with FSDP.
        fsdp = self.accelerator.distributed_type == DistributedType.FSDP
        return self.accelerator.autocast() if fsdp else nullcontext()

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Train on a micro-batch, and update the guard with its loss."""
        loss: torch.Tensor = super().training_step(*args, **kwargs)
        self.guard.losses.update(loss)
        return loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return this rank's share of the global batches.

        Upstream's sharding repeats the first rows if the last batch is short.
        """
        rows, args = self.train_dataset, self.args
        if self._job.engine.sampler == "upstream" or not isinstance(rows, Dataset):
            theirs: DataLoader[Any] = super().get_train_dataloader()
            return theirs
        return training_loader(self._job, args, global_batches(self._job, args))

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Evaluate every validation set with `summexp`'s evaluation."""
        self._evaluations = self.guard.evaluate(self._job, self.full_model(), self._save_if_last)
        self._evaluated_step = self.state.global_step
        if self._job.engine.sampler == "upstream":
            # Upstream reads each set with a DataLoader, which draws one random number and so
            # changes dropout.
            for _ in self._evaluations:
                torch.empty((), dtype=torch.int64).random_()
        metrics: dict[str, float] = {}
        for evaluation in self._evaluations:
            metrics |= evaluation.metrics
        best_score(self.args, metrics)
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        engine = self._job.engine
        if should_stop_early(self.args, engine, self.state.log_history):
            self.stopped_early = self.control.should_training_stop = True
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and keep the log history valid JSON."""
        super().log(logs, start_time)
        keep_valid_json(self.state)

    def on_gradient(self, norm: torch.Tensor | float) -> None:
        """Pass the norm of the gradient on to the guard."""
        self.guard.grad_norm = norm

    def should_save(self, *, is_best: bool) -> bool:
        """Save also where a signal stops the training."""
        return is_best or self.guard.stops

    def full_model(self) -> PreTrainedModel:
        """Return the unsharded model; call it on every rank."""
        return self._full_model.copy(self.model, self.args.device)

    def last_evaluation(self) -> list[EvaluationResult] | None:
        """Return the last evaluation, if it was of the final model."""
        return self._evaluations if self._evaluated_step == self._final_step() else None

    def _final_step(self) -> int:
        """Return the step of the final weights: the last one, or the best one."""
        best = self.state.best_model_checkpoint
        if self.args.load_best_model_at_end and best is not None:
            return step_of(Path(best))
        return self.state.global_step

    def reading(self, checkpoint: Path) -> AbstractContextManager[None]:
        """Turn errors of loading a checkpoint into a `ConfigError`."""
        return readable(checkpoint)

    def on_weights_loaded(self, checkpoint: Path) -> None:
        """Check that the weights are finite."""
        check_loaded(self.model, checkpoint)

    def write_checkpoint(self, write: Callable[[], None]) -> None:
        """Save a checkpoint of this step, unless it exists."""
        self.guard.save(lambda: self._write_checkpoint(write))

    def _write_checkpoint(self, write: Callable[[], None]) -> None:
        self._check_weights(self.model)
        with new_checkpoint(self.args, self.state) as checkpoint:
            write()
        # A stop request does not wait for an upload.
        if self.args.should_save and not self.guard.stops:
            self._job.on_save(checkpoint)

    def keep_best(self) -> None:
        """Delete the last checkpoint, kept beside the best one, if only one is to be kept."""
        best = self.state.best_model_checkpoint
        if self.args.should_save and best is not None and self.args.save_total_limit == 1:
            keep_only(run_folder(self.args), Path(best))

    def save_model(self, output_dir: str | None = None, *args: Any, **kwargs: Any) -> None:
        """Save the model folder of a checkpoint, whether the model is sharded or not."""
        if not self._full_model.is_split:
            with saving_names_of_memory(self.model):
                super().save_model(output_dir, *args, **kwargs)
            if self.args.should_save:
                follow_umask(Path(output_dir or run_folder(self.args)))
            return
        # All ranks gather the weights, and one keeps them.
        place = torch.device("cpu" if self.args.should_save else "meta")
        model = self._full_model.copy(self.model, place)
        if self.args.should_save:
            with saving_names_of_memory(model):
                save_model(model, self.processing_class, Path(output_dir or run_folder(self.args)))

    def save_final(self, model: PreTrainedModel) -> None:
        """Save `model` and the tokenizer into the run folder."""
        folder = run_folder(self.args) if self.args.should_save else None
        is_saved = self._saved_step == self._final_step()
        save_trained(model, self.processing_class, folder, self._check_weights, is_saved=is_saved)
        barrier()

    def _save_if_last(self, model: PreTrainedModel) -> None:
        if self.state.global_step < self.state.max_steps:
            return
        folder = run_folder(self.args) if self.args.should_save else None
        save_unmerged(model, self.processing_class, folder, self._check_weights)
        self._saved_step = self.state.global_step

    def _check_weights(self, model: torch.nn.Module) -> None:
        folder, fp16 = run_folder(self.args), self._job.training.fp16
        check_weights(model, self.state.global_step, folder, fp16=fp16)


class BeginningState(TrainerCallback):
    """Trainer callback that corrects the state that a training begins or resumes with."""

    def __init__(self, job: TrainingJob, resume_from: Path | None) -> None:
        """Store the job, and the checkpoint from which it resumes."""
        self._job, self._resume_from = job, resume_from

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Drop a best checkpoint that is not of this training, and use the present intervals."""
        if self._resume_from is not None:
            drop_foreign_best(self._job, state, self._resume_from)
        # Upstream (5.23) resumes with the intervals of the checkpoint.
        state.compute_steps(args, state.max_steps)
