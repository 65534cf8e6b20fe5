"""`engine=trainer`: the Hugging Face Seq2SeqTrainer with our loss, order of rows and evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import Seq2SeqTrainer, TrainerCallback, TrainerControl, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import rotate_checkpoints

from summexp.data.sampling import LengthGroupedSampler
from summexp.data.tokenize import row_lengths
from summexp.engines.evaluation import Evaluated
from summexp.engines.loss import count_targets, token_loss_sum
from summexp.engines.progress import TrainingProgress
from summexp.engines.protocol import Fitted, TrainingJob
from summexp.engines.upstream import training_arguments
from summexp.launch.devices import select_device
from summexp.runs.checkpoints import seal, step_of


class TrainerEngine:
    """The loop of the Hugging Face Trainer."""

    def fit(self, job: TrainingJob, resume_from: Path | None) -> Fitted:
        """Train `job.model` in place; see `Engine.fit`."""
        trainer = SummarizationTrainer(job)
        # Nothing that came before, such as training a tokenizer, may move the random numbers.
        set_seed(job.config.seed)
        result = trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        trainer.save_state()
        metrics = {
            name: value for name, value in result.metrics.items() if isinstance(value, int | float)
        }
        state = trainer.state
        return Fitted(
            metrics, state.global_step, float(state.epoch or 0.0), trainer.last_evaluation()
        )


class SummarizationTrainer(Seq2SeqTrainer):  # type: ignore[misc]
    """A Seq2SeqTrainer whose numbers do not depend on how the global batch is split."""

    control: TrainerControl

    def __init__(self, job: TrainingJob) -> None:
        """Prepare the training of `job`."""
        self._job = job
        self._own_loss = job.config.engine.loss == "token_mean"
        self._sampler: LengthGroupedSampler | None = None
        self._evaluated: list[Evaluated] = []
        self._evaluated_at = -1
        super().__init__(
            model=job.model,
            args=_arguments(job),
            train_dataset=job.rows,
            # The Trainer wants one if it is to evaluate; `evaluate` below does not use it.
            eval_dataset=job.rows,
            data_collator=job.collate,
            processing_class=job.tokenizer,
        )
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        for callback in _callbacks(job):
            self.add_callback(callback)
        if self._own_loss:
            # The Trainer then counts the target tokens of the global batch, and scales nothing.
            self.model_accepts_loss_kwargs = True
            self.loss_is_scaled_for_ga = True

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss of a micro-batch as its share of the global batch's mean.

        Upstream (5.23) hands `num_items_in_batch` to T5 and BART, which ignore it, and takes their
        mean for a share: loss and gradients grow with accumulation steps and processes.
        """
        if not self._own_loss:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"]
        outputs = model(**{name: value for name, value in inputs.items() if name != "labels"})
        targets = count_targets(labels) if num_items_in_batch is None else num_items_in_batch
        smoothing = self.args.label_smoothing_factor
        loss = token_loss_sum(outputs.logits, labels, smoothing) / targets
        if self.args.average_tokens_across_devices:
            # DDP averages the gradients of the processes; their sum is what is wanted.
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int] | None:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if self._job.config.engine.sampler == "upstream" or not isinstance(rows, Dataset):
            theirs: Sampler[int] | None = super()._get_train_sampler(train_dataset)
            return theirs
        args = self.args
        rows_a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        seed = args.seed if args.data_seed is None else args.data_seed
        self._sampler = LengthGroupedSampler(row_lengths(rows), rows_a_step, seed)
        return self._sampler

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        # Upstream's own way of handing the epoch on does not reach a sampler that skips batches,
        # so that a run resumed within an epoch would see the first epoch's order again.
        if self._sampler is not None:
            self._sampler.set_epoch(kwargs["epoch"])
        super()._run_epoch(*args, **kwargs)

    def evaluate(self, *_args: Any, **_kwargs: Any) -> dict[str, float]:
        """Evaluate every validation set with the evaluation that all engines share."""
        self._evaluated = self._job.evaluate(self.model)
        self._evaluated_at = self.state.global_step
        metrics: dict[str, float] = {}
        for evaluated in self._evaluated:
            metrics |= evaluated.metrics
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def last_evaluation(self) -> list[Evaluated] | None:
        """Return the last evaluation, if it was of the model that training ended with."""
        best = self.state.best_model_checkpoint
        ended_with = self.state.global_step
        if self.args.load_best_model_at_end and best is not None:
            ended_with = step_of(Path(best))
        return self._evaluated if self._evaluated_at == ended_with else None

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        # Weights that are another's are not in the file, and not missing either.
        shared = self.model.all_tied_weights_keys
        missing = [name for name in load_result.missing_keys if name not in shared]
        unexpected = load_result.unexpected_keys
        super()._issue_warnings_after_load(
            SimpleNamespace(missing_keys=missing, unexpected_keys=unexpected)
        )

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        checkpoint = Path(self.args.output_dir, f"checkpoint-{self.state.global_step}")
        if self.args.should_save and checkpoint.exists():
            # What a killed run left half-written must not be taken for a part of this one.
            shutil.rmtree(checkpoint)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        super()._save_checkpoint(model, trial)
        self.args.save_total_limit = limit
        if self.args.should_save:
            seal(checkpoint)
            # Older ones go only now, so that there is a whole one at every moment.
            rotate_checkpoints(
                output_dir=self.args.output_dir,
                save_total_limit=limit,
                best_model_checkpoint=self.state.best_model_checkpoint,
                use_mtime=False,
            )


def _arguments(job: TrainingJob) -> Any:
    config = job.config
    on_cpu = select_device(config.hardware.backend).type == "cpu"
    over: dict[str, Any] = {
        # Rows hold tokens alone, and the collator adds what the model needs.
        "remove_unused_columns": False,
        "use_cpu": on_cpu,
        "run_name": config.tracking.run_name or job.folder.name,
    }
    if not config.training.do_eval:
        over["eval_strategy"] = "no"
    args = training_arguments(
        config.training,
        output_dir=job.folder,
        seed=config.seed,
        report_to=list(config.tracking.trackers),
        **over,
    )
    if args.n_gpu > 1:
        # One process drives one GPU; DataParallel over several is slow, and breaks generation.
        args._n_gpu = 1
    return args


def _callbacks(job: TrainingJob) -> list[TrainerCallback]:
    callbacks: list[TrainerCallback] = [TrainingProgress()]
    if job.config.debug.profile:
        from summexp.engines.profiling import StepProfiler

        callbacks.append(StepProfiler(job.folder / "profile"))
    return callbacks
