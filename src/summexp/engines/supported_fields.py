"""Fields of `training.*` that `engine=accelerate` supports: all but those rejected here.

`engine=trainer` supports all fields. A field that is accepted but has no effect would mislead the
user, so that the test of each supported one compares the two engines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from summexp.errors import Problem

if TYPE_CHECKING:
    from summexp.engines.config import EngineConfig
    from summexp.engines.generated.training_config import TrainingConfig

_TRAINER_ONLY = "is specific to the Trainer"
_STOPS = "has no effect: a signal stops every run after a checkpoint"
_LOG = "has no effect on summexp's own log"
_TRACKIO = "belongs to a tracker that is not supported"
_ORDER = "sets the Trainer's order of the rows"

REJECTED = {
    "optim_target_modules": "is for optimizers that need the model's modules",
    "average_tokens_across_devices": "=false would make the loss depend on the number of processes",
    "use_liger_kernel": _TRAINER_ONLY,
    "liger_kernel_config": _TRAINER_ONLY,
    "neftune_noise_alpha": _TRAINER_ONLY,
    "torch_empty_cache_steps": _TRAINER_ONLY,
    "auto_find_batch_size": _TRAINER_ONLY,
    "include_num_input_tokens_seen": _TRAINER_ONLY,
    "skip_memory_metrics": _TRAINER_ONLY,
    "debug": _TRAINER_ONLY,
    "log_on_each_node": _LOG,
    "log_level": _LOG,
    "log_level_replica": _LOG,
    "trackio_space_id": _TRACKIO,
    "trackio_bucket_id": _TRACKIO,
    "trackio_static_space_id": _TRACKIO,
    "enable_jit_checkpoint": _STOPS,
    "hub_token": "comes from the environment (HF_TOKEN)",
    "hub_always_push": "is for uploads during training; this engine uploads at the end",
    "ignore_data_skip": "would train on rows twice; a run resumes at its step",
    "restore_callback_states_from_checkpoint": "is for callbacks that this engine does not have",
    "accelerator_config": "is set in the loop itself",
    "parallelism_config": _TRAINER_ONLY,
    "train_sampling_strategy": _ORDER,
    "length_column_name": _ORDER,
}
"""Field that can be set, and the reason why the loop does not support it."""

_OTHER_OPTIMIZERS = ("galore_", "apollo_", "lomo", "adalomo", "schedule_free_")
"""Name prefixes of optimizers that need more than parameter groups."""
_BITSANDBYTES_8BIT = (
    *("adamw_bnb_8bit", "adamw_8bit", "ademamix_8bit", "lion_8bit", "rmsprop_bnb_8bit"),
    *("paged_adamw_8bit", "paged_ademamix_8bit", "paged_lion_8bit"),
)
"""Optimizers for which the Trainer keeps embeddings in 32 bits, which needs the model."""


def rejected(training: TrainingConfig, engine: EngineConfig) -> Iterator[Problem]:
    """Yield the settings of a config that `engine=accelerate` does not support."""
    if engine.name != "accelerate":
        return
    hint = "Remove it, or choose engine=trainer."
    for spec in fields(training):
        if spec.name in REJECTED and getattr(training, spec.name) != spec.default:
            yield Problem(
                key=f"training.{spec.name}",
                what=f"{REJECTED[spec.name]}, and engine=accelerate does not support it",
                hint=hint,
            )
    for name, ours in (("sampler", "length_grouped"), ("loss", "token_mean")):
        if getattr(engine, name) != ours:
            yield Problem(
                key=f"engine.{name}",
                what=f"{getattr(engine, name)} is specific to the Trainer, and engine=accelerate "
                "does not support it",
                hint=f"Set engine.{name}={ours}, or choose engine=trainer.",
            )
    if training.optim.startswith(_OTHER_OPTIMIZERS) or training.optim in _BITSANDBYTES_8BIT:
        yield Problem(
            key="training.optim",
            what=f"{training.optim} needs more than parameter groups, and engine=accelerate does "
            "not support it",
            hint="Choose another optimizer, or engine=trainer.",
        )
    if isinstance(training.deepspeed, Mapping):
        yield from deepspeed_problems(training.deepspeed)
    if training.push_to_hub and training.hub_strategy != "end":
        yield Problem(
            key="training.hub_strategy",
            what=f"{training.hub_strategy} uploads during training, and engine=accelerate uploads "
            "at the end",
            hint="Set training.hub_strategy=end, or choose engine=trainer.",
        )


def deepspeed_problems(options: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the sections of the DeepSpeed config that the loop sets itself."""
    for name, key in (("optimizer", "optim"), ("scheduler", "lr_scheduler_type")):
        if name in options:
            yield Problem(
                key="training.deepspeed",
                what=f"has a section {name}, and engine=accelerate uses training.{key}",
                hint="Remove the section, or choose engine=trainer.",
            )
