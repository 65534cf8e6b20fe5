"""Which training loop runs, and what it does in its own way: the `engine` group of the config."""

from __future__ import annotations

from dataclasses import dataclass

from summexp.options import choice


@dataclass(kw_only=True)
class EngineConfig:
    """The training loop. Data, metrics and files are the same whichever runs."""

    name: str = choice("trainer", "trainer")
    """`trainer` is the Hugging Face Seq2SeqTrainer."""
    sampler: str = choice("length_grouped", "length_grouped", "upstream")
    """Order of the training rows; `upstream` leaves it to `training.train_sampling_strategy`."""
    loss: str = choice("token_mean", "token_mean", "upstream")
    """`token_mean` averages over all target tokens of the global batch; `upstream` is as the model
    and the Trainer have it, which depends on how the batch is split."""
    generation_order: str = choice("length", "length", "input")
    """Order in which rows are generated; `length` wastes less padding. Files keep the input's."""
