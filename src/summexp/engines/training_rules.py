"""Rules between the fields of `training.*` that need no transformers.

Upstream checks most of them too, but reports one at a time and only after torch was imported.
A test holds both to each other. `hf_training_arguments.py` passes on whatever else upstream
rejects.

Tested in tests/engines/test_schemas.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from summexp.engines.generated.training_config import TrainingConfig
from summexp.options import raise_problems, too_small

_MINIMA = {
    "per_device_train_batch_size": 1,
    "per_device_eval_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "torch_empty_cache_steps": 1,
    "learning_rate": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "adam_epsilon": 0,
    "max_grad_norm": 0,
    "neftune_noise_alpha": 0,
    "logging_steps": 0,
    "eval_steps": 0,
    "eval_delay": 0,
    "save_steps": 0,
    "save_total_limit": 0,
    "dataloader_num_workers": 0,
    "dataloader_prefetch_factor": 1,
    "ddp_bucket_cap_mb": 1,
}

_SCHEDULERS_BY_SCORE = ("reduce_lr_on_plateau", "greedy")

_MILLION = 1_000_000


def check_training(config: TrainingConfig) -> None:
    """Raise ConfigError with every rule that the fields of `training.*` break together."""
    raise_problems("training", _training_problems(config))


def _training_problems(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    yield from too_small(config, _MINIMA)
    yield from _optimizer_problems(config)
    if config.fp16 and config.bf16:
        yield "fp16", "is set together with training.bf16; set only one of them"
    if config.fp16_full_eval and config.bf16_full_eval:
        yield "fp16_full_eval", "is set together with training.bf16_full_eval; set only one"
    yield from _interval_problems(config)
    if config.lr_scheduler_type in _SCHEDULERS_BY_SCORE and config.eval_strategy == "no":
        yield (
            "lr_scheduler_type",
            f"{config.lr_scheduler_type} needs evaluations, but training.eval_strategy is no",
        )
    if config.dataloader_prefetch_factor is not None and config.dataloader_num_workers == 0:
        yield "dataloader_prefetch_factor", "needs training.dataloader_num_workers of 1 or more"
    yield from _best_model_problems(config)


def _optimizer_problems(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    """Yield values that PyTorch's optimizers and loss reject, one at a time, in training."""
    for name in ("adam_beta1", "adam_beta2"):
        value = getattr(config, name)
        if not 0 <= value < 1:
            yield name, f"must be at least 0 and below 1, not {value}"
    if not 0 <= config.label_smoothing_factor <= 1:
        yield (
            "label_smoothing_factor",
            f"must lie between 0 and 1, not {config.label_smoothing_factor}",
        )
    used = config.do_train and config.max_steps <= 0
    if config.num_train_epochs < 0 or (used and config.num_train_epochs == 0):
        yield "num_train_epochs", f"must be above 0, not {config.num_train_epochs}"


def _interval_problems(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    for kind in ("logging", "eval", "save"):
        steps = getattr(config, f"{kind}_steps")
        if getattr(config, f"{kind}_strategy") != "steps" or steps is None:
            continue
        if steps > 1 and steps != int(steps):
            yield f"{kind}_steps", f"above 1 must be an integer number of steps, not {steps}"
    if config.logging_strategy == "steps" and config.logging_steps == 0:
        yield "logging_steps", "must not be 0 while training.logging_strategy is steps"
    if config.eval_strategy == "steps" and not config.eval_steps and config.logging_steps <= 0:
        yield "eval_steps", "must be set while training.eval_strategy is steps"


def _best_model_problems(config: TrainingConfig) -> Iterator[tuple[str, str]]:
    """Yield settings under which the best weights would not be saved."""
    if not config.load_best_model_at_end or config.save_strategy == "best":
        return
    if config.eval_strategy != config.save_strategy:
        yield (
            "load_best_model_at_end",
            f"needs training.save_strategy ({config.save_strategy}) to be training.eval_strategy "
            f"({config.eval_strategy}), or best",
        )
        return
    every, save = config.eval_steps or config.logging_steps, config.save_steps
    if config.eval_strategy != "steps" or not every or not save % every:
        return
    shares = (every < 1) + (save < 1)
    # Two fractions are compared in millionths: 0.3 % 0.1 is not 0 in floating point.
    if shares == 1 or (save * _MILLION) % (every * _MILLION):
        yield (
            "save_steps",
            f"({save}) must be a multiple of training.eval_steps ({every}) while "
            "training.load_best_model_at_end is true",
        )
