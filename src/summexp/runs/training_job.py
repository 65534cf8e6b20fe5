"""The training of a run, as its config describes it.

Tested in tests/engines/test_trainer.py, tests/runs/test_phase_runner.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datasets import Dataset, IterableDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.collate import Collator
from summexp.engines.protocol import Evaluate, TrainingJob

if TYPE_CHECKING:
    from summexp.config.schema import Config


def training_job(
    config: Config,
    folder: Path,
    *,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Dataset | IterableDataset,
    collate: Collator,
    evaluate: Evaluate,
) -> TrainingJob:
    """Return the training job of a run, which reports to nobody yet.

    Args:
        config: the config of the run.
        folder: the run folder.
        model: the model to train.
        tokenizer: its tokenizer.
        rows: the tokenized training rows.
        collate: makes batches of rows.
        evaluate: see `TrainingJob.evaluate`.
    """
    return TrainingJob(
        training=config.training,
        engine=config.engine,
        backend=config.hardware.backend,
        seed=config.seed,
        trackers=config.tracking.trackers,
        run_name=config.tracking.run_name,
        profile=config.debug.profile,
        folder=folder,
        model=model,
        tokenizer=tokenizer,
        rows=rows,
        collate=collate,
        evaluate=evaluate,
    )
