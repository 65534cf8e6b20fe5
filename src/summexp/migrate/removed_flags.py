"""Flags that transformers 5 removed, and that commands and guides still have.

Tested in tests/migrate/test_flags.py.
"""

from __future__ import annotations

from summexp.migrate.flags import Flag, Kind, fixed
from summexp.migrate.training_flags import SECRET

_AMP = "not needed; PyTorch's own mixed precision is the only one"
_FORWARD = "not needed; there is one evaluation loop"

REMOVED_FLAGS = (
    Flag(
        "overwrite_output_dir",
        Kind.BOOL,
        "overwrite_output_dir",
        "deletes what summexp wrote in output_dir, and starts anew",
        False,
    ),
    Flag("push_to_hub_model_id", Kind.TEXT, "training.hub_model_id"),
    Flag(
        "push_to_hub_organization",
        Kind.TEXT,
        "training.hub_model_id",
        "the part before the slash of training.hub_model_id=organization/name",
        turn=lambda value: {"training.hub_model_id": f"{value}/"},
    ),
    Flag("push_to_hub_token", Kind.TEXT, "", SECRET, is_secret=True),
    Flag("use_auth_token", Kind.TEXT_OR_BOOL, "", SECRET, is_secret=True),
    Flag("evaluation_strategy", Kind.TEXT, "training.eval_strategy", default="no"),
    Flag(
        "warmup_ratio",
        Kind.FLOAT,
        "training.warmup_steps",
        "below 1, training.warmup_steps is a share of all steps",
        0.0,
        lambda value: {"training.warmup_steps": value} if value else {},
    ),
    Flag("logging_dir", Kind.TEXT, "", "not needed; curves are in tracking/ of the run folder"),
    Flag("no_cuda", Kind.BOOL, "hardware=cpu", "", False, fixed(hardware="cpu")),
    Flag("use_mps_device", Kind.BOOL, "hardware=mps", "", False, fixed(hardware="mps")),
    Flag(
        "group_by_length",
        Kind.BOOL,
        "",
        "not needed; the default order of the rows groups them by length",
        False,
    ),
    Flag(
        "adafactor",
        Kind.BOOL,
        "training.optim=adafactor",
        "",
        False,
        fixed(training__optim="adafactor"),
    ),
    Flag("per_gpu_train_batch_size", Kind.INT, "training.per_device_train_batch_size"),
    Flag("per_gpu_eval_batch_size", Kind.INT, "training.per_device_eval_batch_size"),
    Flag("fp16_backend", Kind.TEXT, "", _AMP, "auto"),
    Flag("half_precision_backend", Kind.TEXT, "", _AMP, "auto"),
    Flag("fp16_opt_level", Kind.TEXT, "", _AMP, "O1"),
    Flag(
        "tpu_num_cores",
        Kind.INT,
        "hardware=tpu8",
        "uses every core of the TPU",
        None,
        fixed(hardware="tpu8"),
    ),
    Flag(
        "tpu_metrics_debug",
        Kind.BOOL,
        "training.debug=tpu_metrics_debug",
        "",
        False,
        fixed(training__debug="tpu_metrics_debug"),
    ),
    Flag(
        "torchdynamo",
        Kind.TEXT,
        "training.torch_compile_backend",
        "turns torch.compile on",
    ),
    Flag(
        "fsdp_min_num_params",
        Kind.INT,
        "training.fsdp_config={min_num_params: …}",
        "",
        0,
        lambda value: {"training.fsdp_config": {"min_num_params": value}} if value else {},
    ),
    Flag(
        "fsdp_transformer_layer_cls_to_wrap",
        Kind.TEXT,
        "training.fsdp_config={transformer_layer_cls_to_wrap: […]}",
        "",
        None,
        lambda value: {"training.fsdp_config": {"transformer_layer_cls_to_wrap": [value]}},
    ),
    Flag("include_inputs_for_metrics", Kind.BOOL, "", _FORWARD, False),
    Flag(
        "include_tokens_per_second",
        Kind.BOOL,
        "training.include_num_input_tokens_seen=all",
        "",
        False,
        fixed(training__include_num_input_tokens_seen="all"),
    ),
    Flag("save_safetensors", Kind.BOOL, "", "not needed; there is no other format", True),
    Flag("use_ipex", Kind.BOOL, "", "removed from transformers; PyTorch does without it", False),
    Flag(
        "jit_mode_eval",
        Kind.BOOL,
        "",
        "removed from transformers; training.torch_compile=true is its successor",
        False,
    ),
    Flag("past_index", Kind.INT, "", "not needed; for models that do not summarize", -1),
    Flag("use_legacy_prediction_loop", Kind.BOOL, "", _FORWARD, False),
    Flag("mp_parameters", Kind.TEXT, "", "removed from transformers; for SageMaker only", ""),
    Flag("ray_scope", Kind.TEXT, "", "removed; for searches with Ray; -m runs a sweep", "last"),
    Flag("_n_gpu", Kind.INT, "", "not needed; the launcher or hardware.processes=8 sets it"),
)
"""Flags of transformers 4 beside `TRAINING_FLAGS`, and `use_auth_token` of the scripts."""

EARLIER_FLAGS = (
    Flag("max_val_samples", Kind.INT, "data.max_eval_samples"),
    Flag(
        "evaluate_during_training",
        Kind.BOOL,
        "training.eval_strategy=steps",
        "",
        False,
        fixed(training__eval_strategy="steps"),
    ),
    Flag(
        "sharded_ddp",
        Kind.TEXT,
        "training.fsdp",
        "fairscale was removed; FSDP is its successor, as in hardware=fsdp8_bf16",
        "",
        lambda value: {"training.fsdp": True} if value else {},
    ),
    Flag("xpu_backend", Kind.TEXT, "", "not needed; it follows from the machine"),
    Flag(
        "dispatch_batches",
        Kind.BOOL,
        "training.accelerator_config={dispatch_batches: …}",
        "",
        None,
        lambda value: {"training.accelerator_config": {"dispatch_batches": value}},
    ),
    Flag(
        "split_batches",
        Kind.BOOL,
        "training.accelerator_config={split_batches: …}",
        "",
        None,
        lambda value: {"training.accelerator_config": {"split_batches": value}},
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
