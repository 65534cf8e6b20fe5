"""Experiment trackers: TensorBoard and Weights & Biases.

The callbacks of the training loop log the curves; the final scores are logged here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from summexp.run_folder.storage_errors import storage_errors
from summexp.storage import quiet_writer_threads

if TYPE_CHECKING:
    from summexp.config.schema import Config

FOLDER = "tracking"
"""Folder of the trackers' files, in the run folder."""

LogScores = Callable[[Mapping[str, float]], None]
"""Logs scores to every tracker."""


@contextmanager
def trackers(config: Config, folder: Path) -> Iterator[LogScores]:
    """Open the trackers of a run, and close them at the end.

    A tracker left open would receive the scores of the next job of the process.
    """
    names = config.tracking.trackers
    loggers: list[LogScores] = []

    def log_all(scores: Mapping[str, float]) -> None:
        for log_scores in loggers:
            log_scores(scores)

    with (
        _tensorboard(folder, loggers, on="tensorboard" in names),
        _wandb(config, folder, loggers, on="wandb" in names),
    ):
        yield log_all


@contextmanager
def no_trackers() -> Iterator[LogScores]:
    """Log nothing, on ranks other than 0."""
    yield lambda _: None


@contextmanager
def _tensorboard(folder: Path, loggers: list[LogScores], *, on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    from torch.utils.tensorboard import SummaryWriter

    # The Trainer's callback reads its folder from this variable.
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(folder / FOLDER)
    with (
        quiet_writer_threads(),
        storage_errors(folder, FOLDER),
        SummaryWriter(folder / FOLDER) as writer,
    ):

        def log_scores(scores: Mapping[str, float]) -> None:
            for name, value in scores.items():
                writer.add_scalar(f"final/{name}", value)

        loggers.append(log_scores)
        try:
            yield
        finally:
            os.environ.pop("TENSORBOARD_LOGGING_DIR", None)


@contextmanager
def _wandb(config: Config, folder: Path, loggers: list[LogScores], *, on: bool) -> Iterator[None]:
    if not on:
        yield
        return
    import wandb

    tracking = config.tracking
    (folder / FOLDER).mkdir(exist_ok=True)
    run = wandb.init(
        project=tracking.project,
        name=tracking.run_name or folder.name,
        tags=tracking.tags,
        dir=folder / FOLDER,
        config=asdict(config),
        mode="offline" if config.offline else None,
        settings=wandb.Settings(silent=True),
    )
    loggers.append(lambda scores: run.summary.update(dict(scores)))
    failed = True
    try:
        yield
        failed = False
    finally:
        run.finish(exit_code=int(failed))
        wandb.teardown()
