"""Protocol of a training engine: its job and its result.

Tested in tests/engines/test_trainer.py, tests/engines/test_accelerate.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.collate import Collator
from summexp.engines.config import EngineConfig
from summexp.engines.generated.training_config import TrainingConfig
from summexp.engines.progress import TrainingProgress
from summexp.evaluation.evaluate import EvaluationResult

Evaluate: TypeAlias = Callable[[PreTrainedModel, Callable[[], None]], list[EvaluationResult]]


@dataclass(frozen=True)
class TrainingJob:
    """All that a training loop needs."""

    training: TrainingConfig
    """The fields of transformers' Seq2SeqTrainingArguments."""
    engine: EngineConfig
    """Which loop, and what it does in its own way."""
    backend: str
    """`hardware.backend`."""
    seed: int
    """Of everything random."""
    folder: Path
    """The run folder, where checkpoints go."""
    model: PreTrainedModel
    """On the CPU; trained in place."""
    tokenizer: PreTrainedTokenizerBase
    """Saved with each checkpoint."""
    rows: Dataset | IterableDataset
    """Tokenized training rows: `input_ids`, `labels`."""
    collate: Collator
    """Makes batches of rows."""
    evaluate: Evaluate
    """Evaluates every validation set; calls its second argument after each batch, on every rank as
    often."""
    trackers: Sequence[str] = ()
    """Experiment trackers, by upstream's names."""
    run_name: str | None = None
    """Name of the run at the trackers; the folder's name where None."""
    profile: bool = False
    """Whether to profile a few steps into the run folder."""
    on_save: Callable[[Path], None] = lambda _checkpoint: None
    """Called by `engine=trainer` with each checkpoint that is whole, on the rank that writes."""
    progress: TrainingProgress = field(default_factory=TrainingProgress)
    """Reports the steps."""


@dataclass(frozen=True)
class FitResult:
    """The result of a training."""

    metrics: dict[str, float]
    """`train_loss`, `train_runtime`, `train_samples_per_second`, …"""
    steps: int
    """Optimizer steps since the start of the run, before and after it was resumed."""
    epochs: float
    """Epochs since the start of the run."""
    evaluations: list[EvaluationResult] | None
    """Evaluations of the final model, one per validation set; None if it was not evaluated."""
    model: PreTrainedModel
    """The trained model, unsharded on each rank: `TrainingJob.model`, unless that is sharded."""
    stopped_early: bool
    """Whether early stopping ended it."""


class Engine(Protocol):
    """A training loop."""

    def fit(self, job: TrainingJob, resume_from: Path | None) -> FitResult:
        """Train `job.model` in place, from a checkpoint if one is given, and save it.

        Args:
            job: model, rows, evaluation and config.
            resume_from: a complete checkpoint of the same job.

        Raises:
            RunError: the loss is not finite.
            SystemExit: a signal stopped the training, and a checkpoint was saved.
        """
        ...
