"""Which training loop runs, and what it does in its own way: the `engine` group of the config.

Tested in tests/config/test_cross_section_rules.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice


@dataclass(kw_only=True)
class EngineConfig:
    """The training loop. Data, metrics and files are the same whichever runs."""

    name: str = choice("trainer", "trainer", "accelerate")
    """`trainer` is the Hugging Face Seq2SeqTrainer; `accelerate` is a loop to read and to change,
    with the same numbers."""
    sampler: str = choice("length_grouped", "length_grouped", "upstream")
    """Order of the training rows; `upstream` leaves it to `training.train_sampling_strategy`."""
    loss: str = choice("token_mean", "token_mean", "upstream")
    """`token_mean` averages over all target tokens of the global batch; `upstream` is as the model
    and the Trainer have it, which depends on how the batch is split."""
    generation_order: str = choice("length", "length", "input")
    """Order in which rows are generated; `length` wastes less padding. Files keep the input's."""
    early_stopping_patience: int | None = None
    """Evaluations in a row without a better score after which training ends; null never does. The
    score is `training.metric_for_best_model`, or the loss."""
    early_stopping_threshold: float = 0.0
    """By how much a score has to be better to count; in the score's unit, 0 to 100 for ROUGE."""

    def __post_init__(self) -> None:
        problems = []
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            what = f"must be at least 1, not {self.early_stopping_patience}"
            problems.append(Problem(key="engine.early_stopping_patience", what=what))
        if self.early_stopping_threshold < 0:
            what = f"must not be below 0, as {self.early_stopping_threshold} is"
            problems.append(Problem(key="engine.early_stopping_threshold", what=what))
        if problems:
            raise ConfigError(problems)
