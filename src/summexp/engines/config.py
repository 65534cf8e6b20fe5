"""Config group `engine`: the training loop and its options.

Tested in tests/config/test_cross_section_rules.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice


@dataclass(kw_only=True)
class EngineConfig:
    """The training loop. Data, metrics and files are the same for every engine."""

    name: str = choice("trainer", "trainer", "accelerate")
    """`trainer` is the Hugging Face Seq2SeqTrainer; `accelerate` is a short loop to read and
    modify, with the same numbers."""
    sampler: str = choice("length_grouped", "length_grouped", "upstream")
    """Order of the training rows; `upstream` leaves it to `training.train_sampling_strategy`."""
    loss: str = choice("token_mean", "token_mean", "upstream")
    """`token_mean` averages over all target tokens of the global batch; `upstream` is the loss of
    the model and the Trainer, which depends on how the batch is split."""
    generation_order: str = choice("length", "length", "input")
    """Order in which rows are generated; `length` needs less padding. Files keep the input's."""
    early_stopping_patience: int | None = None
    """Evaluations in a row without a better score after which training stops; null disables it. The
    score is `training.metric_for_best_model`, or the loss."""
    early_stopping_threshold: float = 0.0
    """Minimum improvement of the score; in the unit of the score, 0 to 100 for ROUGE."""

    def __post_init__(self) -> None:
        problems = []
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            what = f"must be at least 1, not {self.early_stopping_patience}"
            problems.append(Problem(key="engine.early_stopping_patience", what=what))
        if self.early_stopping_threshold < 0:
            what = f"must be at least 0, not {self.early_stopping_threshold}"
            problems.append(Problem(key="engine.early_stopping_threshold", what=what))
        if problems:
            raise ConfigError(problems)
