"""Flags that transformers 5 removed, and that commands and guides still have.

Tested in tests/migrate/test_flags.py.
"""

from __future__ import annotations

from typing import Any

from summexp.migrate.flags import Flag, Kind, fixed
from summexp.upstream.removed_arguments import REMOVED_ARGUMENTS


def _removed(name: str, kind: Kind, **more: Any) -> Flag:
    now, remark = REMOVED_ARGUMENTS[name]
    return Flag(name, kind, now, remark, **more)


REMOVED_FLAGS = (
    _removed("overwrite_output_dir", Kind.BOOL, default=False),
    _removed("push_to_hub_model_id", Kind.TEXT),
    _removed(
        "push_to_hub_organization",
        Kind.TEXT,
        turn=lambda value: {"training.hub_model_id": f"{value}/"},
    ),
    _removed("push_to_hub_token", Kind.TEXT, is_secret=True),
    _removed("use_auth_token", Kind.TEXT_OR_BOOL, is_secret=True),
    _removed("evaluation_strategy", Kind.TEXT, default="no"),
    _removed(
        "warmup_ratio",
        Kind.FLOAT,
        default=0.0,
        turn=lambda value: {"training.warmup_steps": value} if value else {},
    ),
    _removed("logging_dir", Kind.TEXT),
    _removed("no_cuda", Kind.BOOL, default=False, turn=fixed(hardware="cpu")),
    _removed("use_mps_device", Kind.BOOL, default=False, turn=fixed(hardware="mps")),
    _removed("group_by_length", Kind.BOOL, default=False),
    _removed("adafactor", Kind.BOOL, default=False, turn=fixed(training__optim="adafactor")),
    _removed("per_gpu_train_batch_size", Kind.INT),
    _removed("per_gpu_eval_batch_size", Kind.INT),
    _removed("fp16_backend", Kind.TEXT, default="auto"),
    _removed("half_precision_backend", Kind.TEXT, default="auto"),
    _removed("fp16_opt_level", Kind.TEXT, default="O1"),
    _removed("tpu_num_cores", Kind.INT, turn=fixed(hardware="tpu8")),
    _removed(
        "tpu_metrics_debug",
        Kind.BOOL,
        default=False,
        turn=fixed(training__debug="tpu_metrics_debug"),
    ),
    _removed("torchdynamo", Kind.TEXT),
    _removed(
        "fsdp_min_num_params",
        Kind.INT,
        default=0,
        turn=lambda value: {"training.fsdp_config": {"min_num_params": value}} if value else {},
    ),
    _removed(
        "fsdp_transformer_layer_cls_to_wrap",
        Kind.TEXT,
        turn=lambda value: {"training.fsdp_config": {"transformer_layer_cls_to_wrap": [value]}},
    ),
    _removed("include_inputs_for_metrics", Kind.BOOL, default=False),
    _removed(
        "include_tokens_per_second",
        Kind.BOOL,
        default=False,
        turn=fixed(training__include_num_input_tokens_seen="all"),
    ),
    _removed("save_safetensors", Kind.BOOL, default=True),
    _removed("use_ipex", Kind.BOOL, default=False),
    _removed("jit_mode_eval", Kind.BOOL, default=False),
    _removed("past_index", Kind.INT, default=-1),
    _removed("use_legacy_prediction_loop", Kind.BOOL, default=False),
    _removed("mp_parameters", Kind.TEXT, default=""),
    _removed("ray_scope", Kind.TEXT, default="last"),
    _removed("_n_gpu", Kind.INT),
)
"""Flags of transformers 4 beside `TRAINING_FLAGS`, and `use_auth_token` of the scripts."""

EARLIER_FLAGS = (
    _removed("max_val_samples", Kind.INT),
    _removed(
        "evaluate_during_training",
        Kind.BOOL,
        default=False,
        turn=fixed(training__eval_strategy="steps"),
    ),
    _removed(
        "sharded_ddp",
        Kind.TEXT,
        default="",
        turn=lambda value: {"training.fsdp": True} if value else {},
    ),
    _removed("xpu_backend", Kind.TEXT),
    _removed(
        "dispatch_batches",
        Kind.BOOL,
        turn=lambda value: {"training.accelerator_config": {"dispatch_batches": value}},
    ),
    _removed(
        "split_batches",
        Kind.BOOL,
        turn=lambda value: {"training.accelerator_config": {"split_batches": value}},
    ),
)
"""Flags that transformers 4 itself removed or renamed, as scripts of its first years have them."""

EARLIER_NO_TRAINER_FLAGS = (
    Flag(
        "max_length",
        Kind.INT,
        "",
        "had no effect; --max_source_length and --max_target_length had",
        128,
    ),
)
"""Flags that `run_summarization_no_trainer.py` had in those years."""
