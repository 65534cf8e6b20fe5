"""Training arguments that transformers has removed, and what they are now.

Tested in tests/migrate/test_flags.py, tests/test_check.py.
"""

from __future__ import annotations

from typing import NamedTuple

SECRET = "from the environment only; export HF_TOKEN, or log in with hf auth login"
_AMP = "not needed; PyTorch's own mixed precision is the only one"
_FORWARD = "not needed; there is one evaluation loop"


class RemovedArgument(NamedTuple):
    """A former argument of transformers."""

    now: str
    """Its config key now, or words such as `hardware=cpu`; empty if it has none."""
    remark: str = ""
    """What changed beside the name, or why no key is needed; half a sentence."""


REMOVED_ARGUMENTS = {
    "overwrite_output_dir": RemovedArgument(
        "overwrite_output_dir", "deletes what summexp wrote in output_dir, and starts anew"
    ),
    "push_to_hub_model_id": RemovedArgument("training.hub_model_id"),
    "push_to_hub_organization": RemovedArgument(
        "training.hub_model_id",
        "the part before the slash of training.hub_model_id=organization/name",
    ),
    "push_to_hub_token": RemovedArgument("", SECRET),
    "use_auth_token": RemovedArgument("", SECRET),
    "evaluation_strategy": RemovedArgument("training.eval_strategy"),
    "warmup_ratio": RemovedArgument(
        "training.warmup_steps", "below 1, training.warmup_steps is a share of all steps"
    ),
    "logging_dir": RemovedArgument("", "not needed; curves are in tracking/ of the run folder"),
    "no_cuda": RemovedArgument("hardware=cpu"),
    "use_mps_device": RemovedArgument("hardware=mps"),
    "group_by_length": RemovedArgument(
        "", "not needed; the default order of the rows groups them by length"
    ),
    "adafactor": RemovedArgument("training.optim=adafactor"),
    "per_gpu_train_batch_size": RemovedArgument("training.per_device_train_batch_size"),
    "per_gpu_eval_batch_size": RemovedArgument("training.per_device_eval_batch_size"),
    "fp16_backend": RemovedArgument("", _AMP),
    "half_precision_backend": RemovedArgument("", _AMP),
    "fp16_opt_level": RemovedArgument("", _AMP),
    "tpu_num_cores": RemovedArgument("hardware=tpu8", "uses every core of the TPU"),
    "tpu_metrics_debug": RemovedArgument("training.debug=tpu_metrics_debug"),
    "torchdynamo": RemovedArgument("training.torch_compile_backend", "turns torch.compile on"),
    "fsdp_min_num_params": RemovedArgument("training.fsdp_config={min_num_params: …}"),
    "fsdp_transformer_layer_cls_to_wrap": RemovedArgument(
        "training.fsdp_config={transformer_layer_cls_to_wrap: […]}"
    ),
    "include_inputs_for_metrics": RemovedArgument("", _FORWARD),
    "include_tokens_per_second": RemovedArgument("training.include_num_input_tokens_seen=all"),
    "save_safetensors": RemovedArgument("", "not needed; there is no other format"),
    "use_ipex": RemovedArgument("", "removed from transformers; PyTorch does without it"),
    "jit_mode_eval": RemovedArgument(
        "", "removed from transformers; training.torch_compile=true is its successor"
    ),
    "past_index": RemovedArgument("", "not needed; for models that do not summarize"),
    "use_legacy_prediction_loop": RemovedArgument("", _FORWARD),
    "mp_parameters": RemovedArgument("", "removed from transformers; for SageMaker only"),
    "ray_scope": RemovedArgument("", "removed; for searches with Ray; -m runs a sweep"),
    "_n_gpu": RemovedArgument("", "not needed; the launcher or hardware.processes=8 sets it"),
    # of transformers 3 and before
    "max_val_samples": RemovedArgument("data.max_eval_samples"),
    "evaluate_during_training": RemovedArgument("training.eval_strategy=steps"),
    "sharded_ddp": RemovedArgument(
        "training.fsdp", "fairscale was removed; FSDP is its successor, as in hardware=fsdp8_bf16"
    ),
    "xpu_backend": RemovedArgument("", "not needed; it follows from the machine"),
    "dispatch_batches": RemovedArgument("training.accelerator_config={dispatch_batches: …}"),
    "split_batches": RemovedArgument("training.accelerator_config={split_batches: …}"),
}
"""Argument to what it is now."""
