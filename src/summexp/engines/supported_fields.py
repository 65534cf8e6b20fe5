"""Fields of `training.*` that `engine=accelerate` supports; all others are rejected.

`engine=trainer` supports all fields. A field that is accepted but has no effect would mislead the
user.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from summexp.errors import Problem

if TYPE_CHECKING:
    from summexp.engines.config import EngineConfig
    from summexp.engines.generated.training_config import TrainingConfig

SUPPORTED_FIELDS = {
    "steps": (
        "num_train_epochs",
        "max_steps",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "learning_rate",
        "lr_scheduler_type",
        "lr_scheduler_kwargs",
        "warmup_steps",
        "weight_decay",
        "optim",
        "optim_args",
        "adam_beta1",
        "adam_beta2",
        "adam_epsilon",
        "max_grad_norm",
        "label_smoothing_factor",
    ),
    "precision and memory": (
        "bf16",
        "fp16",
        "tf32",
        "bf16_full_eval",
        "fp16_full_eval",
        "full_determinism",
        "data_seed",
        "activation_checkpointing",
        "activation_checkpointing_kwargs",
        "gradient_checkpointing",
        "gradient_checkpointing_kwargs",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
        "use_cache",
    ),
    "batches": (
        "dataloader_drop_last",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_in_order",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context",
    ),
    "processes": (
        "ddp_find_unused_parameters",
        "ddp_bucket_cap_mb",
        "ddp_broadcast_buffers",
        "ddp_static_graph",
        "fsdp",
        "fsdp_config",
        "deepspeed",
    ),
    "logging, evaluation and saving": (
        "logging_strategy",
        "logging_steps",
        "logging_first_step",
        "logging_nan_inf_filter",
        "eval_strategy",
        "eval_steps",
        "eval_delay",
        "eval_on_start",
        "save_strategy",
        "save_steps",
        "save_total_limit",
        "save_only_model",
        "save_on_each_node",
        "load_best_model_at_end",
        "metric_for_best_model",
        "greater_is_better",
        "resume_from_checkpoint",
    ),
    "independent of the engine": (
        "do_train",
        "do_eval",
        "do_predict",
        "per_device_eval_batch_size",
        "predict_with_generate",
        "prediction_loss_only",
        "push_to_hub",
        "hub_model_id",
        "hub_strategy",
        "hub_private_repo",
        "hub_revision",
    ),
}
"""Fields that mean the same as in the Trainer, by topic; a test compares the two engines."""

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
"""Every other field that can be set, with the reason why the loop does not support it."""

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
