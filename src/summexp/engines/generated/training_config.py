"""Every field of transformers' `Seq2SeqTrainingArguments`, with upstream's defaults.

Written by `tools/generate_schemas.py` from the installed transformers: edit only the sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from summexp.engines.training_rules import check_training
from summexp.options import choice


@dataclass(kw_only=True)
class TrainingConfig:
    """Every field of transformers' `Seq2SeqTrainingArguments`, with upstream's defaults."""

    output_dir: str | None = None
    """Not to be set here: the run's own `output_dir` is handed on."""
    per_device_train_batch_size: int = 8
    """Rows that each device takes at a time in training."""
    num_train_epochs: float = 3.0
    """Passes over the training rows; a fraction ends within a pass."""
    max_steps: int = -1
    """Optimizer steps after which training ends, whatever the epochs say; -1 sets no such end."""
    learning_rate: float = 5e-05
    """Highest learning rate, from which the scheduler starts once the warm-up is over."""
    lr_scheduler_type: str = choice(
        "linear",
        "linear",
        "cosine",
        "cosine_with_restarts",
        "polynomial",
        "constant",
        "constant_with_warmup",
        "inverse_sqrt",
        "reduce_lr_on_plateau",
        "cosine_with_min_lr",
        "cosine_warmup_with_min_lr",
        "warmup_stable_decay",
        "greedy",
    )
    """Shape of the learning rate over the run."""
    lr_scheduler_kwargs: Any = None
    """Further options of the scheduler, a mapping such as {num_cycles: 2}."""
    warmup_steps: float = 0
    """Optimizer steps while the learning rate climbs from 0; below 1, a share of all steps."""
    optim: str = choice(
        "adamw_torch_fused",
        "adamw_torch",
        "adamw_torch_fused",
        "adamw_torch_xla",
        "adamw_torch_npu_fused",
        "adafactor",
        "adamw_anyprecision",
        "adamw_torch_4bit",
        "adamw_torch_8bit",
        "ademamix",
        "sgd",
        "adagrad",
        "adamw_bnb_8bit",
        "adamw_8bit",
        "ademamix_8bit",
        "lion_8bit",
        "lion_32bit",
        "paged_adamw_32bit",
        "paged_adamw_8bit",
        "paged_ademamix_32bit",
        "paged_ademamix_8bit",
        "paged_lion_32bit",
        "paged_lion_8bit",
        "rmsprop",
        "rmsprop_bnb",
        "rmsprop_bnb_8bit",
        "rmsprop_bnb_32bit",
        "galore_adamw",
        "galore_adamw_8bit",
        "galore_adafactor",
        "galore_adamw_layerwise",
        "galore_adamw_8bit_layerwise",
        "galore_adafactor_layerwise",
        "lomo",
        "adalomo",
        "grokadamw",
        "schedule_free_radam",
        "schedule_free_adamw",
        "schedule_free_sgd",
        "apollo_adamw",
        "apollo_adamw_layerwise",
        "stable_adamw",
    )
    """The optimizer; many of them need another package."""
    optim_args: str | None = None
    """Further options of the optimizer, as text: `key=value,key=value`."""
    weight_decay: float = 0.0
    """How strongly weights are pulled to 0 at each step; biases and norms are spared."""
    adam_beta1: float = 0.9
    """Share of the old mean that Adam keeps at each step when it averages gradients."""
    adam_beta2: float = 0.999
    """Share of the old mean that Adam keeps when it averages squared gradients."""
    adam_epsilon: float = 1e-08
    """Small number that keeps Adam from dividing by 0."""
    optim_target_modules: Any = None
    """Modules that GaLore or APOLLO treats: a name, a pattern or a list; null for none."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients are added up before the weights move once."""
    average_tokens_across_devices: bool = True
    """Count target tokens over all processes when the loss is divided by them."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to at most this norm; 0 leaves them as they are."""
    label_smoothing_factor: float = 0.0
    """Share of the target probability that is spread over the whole vocabulary."""
    bf16: bool = False
    """Compute in bfloat16 where that is safe, with float32 weights."""
    fp16: bool = False
    """Compute in float16 where that is safe, with float32 weights and a scaled loss."""
    bf16_full_eval: bool = False
    """Hold the weights themselves in bfloat16 during evaluation and prediction."""
    fp16_full_eval: bool = False
    """Hold the weights themselves in float16 during evaluation and prediction."""
    tf32: bool | None = None
    """Let NVIDIA GPUs (Ampere or newer) multiply in TF32; null leaves PyTorch's own setting."""
    activation_checkpointing: bool | None = None
    """Recompute activations in the backward pass: less memory, more time; null is off."""
    activation_checkpointing_kwargs: Any = None
    """Further options of it, a mapping such as {use_reentrant: false}."""
    gradient_checkpointing: bool | None = None
    """Old name of `activation_checkpointing`, used where that is null."""
    gradient_checkpointing_kwargs: Any = None
    """Old name of `activation_checkpointing_kwargs`, used where that is null."""
    torch_compile: bool = False
    """Run the model through torch.compile."""
    torch_compile_backend: str | None = None
    """What torch.compile compiles with, such as inductor; to set it turns compiling on."""
    torch_compile_mode: str | None = None
    """How hard torch.compile tries, such as max-autotune; to set it turns compiling on."""
    use_liger_kernel: bool = False
    """Swap layers for the fused ones of the package liger-kernel, for the models it knows."""
    liger_kernel_config: Any = None
    """Which Liger kernels are used, a mapping such as {rope: true}; null for its own choice."""
    use_cache: bool = False
    """Keep keys and values in the training forward pass; only prefix-like PEFT wants that."""
    neftune_noise_alpha: float | None = None
    """Strength of the noise added to the input embeddings in training; null adds none."""
    torch_empty_cache_steps: int | None = None
    """Free the device's cached memory after this many steps; null disables it."""
    auto_find_batch_size: bool = False
    """Start again with a smaller training batch when memory runs out."""
    logging_strategy: str = choice("steps", "no", "steps", "epoch")
    """When the training loss is logged: never, every `logging_steps`, or once an epoch."""
    logging_steps: float = 500
    """Optimizer steps from one log entry to the next; below 1, a share of all steps."""
    logging_first_step: bool = False
    """Log the very first step as well."""
    log_on_each_node: bool = True
    """One process of each machine speaks, rather than one of all machines."""
    logging_nan_inf_filter: bool = True
    """Leave NaN and infinite losses out of what is logged; gradients are not changed."""
    include_num_input_tokens_seen: str = choice("no", "all", "non_padding", "no")
    """Count the source tokens that were trained on, with or without padding."""
    log_level: str = choice(
        "passive",
        "detail",
        "debug",
        "info",
        "warning",
        "error",
        "critical",
        "passive",
    )
    """Least severity that the main process prints; passive leaves it as it is."""
    log_level_replica: str = choice(
        "warning",
        "detail",
        "debug",
        "info",
        "warning",
        "error",
        "critical",
        "passive",
    )
    """Least severity that the other processes print."""
    disable_tqdm: bool | None = None
    """Hide progress bars; null decides by the log level."""
    report_to: Any = "none"
    """Not to be set here: `tracking` chooses the trackers."""
    run_name: str | None = None
    """Name of the run at the trackers; null leaves it to them."""
    project: str = "huggingface"
    """Name of the project at Trackio."""
    trackio_space_id: str | None = None
    """Hub Space that shows the run live through Trackio; null keeps it local."""
    trackio_bucket_id: str | None = None
    """Hub bucket behind that Space; null lets Trackio choose."""
    trackio_static_space_id: str | bool | None = None
    """Hub Space with a frozen view of the run; false makes none, null chooses automatically."""
    eval_strategy: str = choice("no", "no", "steps", "epoch")
    """When training pauses to evaluate: never, every `eval_steps`, or once an epoch."""
    eval_steps: float | None = None
    """Optimizer steps from one evaluation to the next; below 1, a share; null: `logging_steps`."""
    eval_delay: float = 0
    """Epochs or steps (as `eval_strategy` counts) before which nothing is evaluated."""
    per_device_eval_batch_size: int = 8
    """Rows that each device takes at a time in evaluation and prediction."""
    prediction_loss_only: bool = False
    """Evaluate the loss alone, without predictions or scores."""
    eval_on_start: bool = False
    """Evaluate once before the first step."""
    eval_do_concat_batches: bool = True
    """Join the batches of an evaluation into one array instead of a list of them."""
    eval_use_gather_object: bool = False
    """Collect evaluation outputs of any nested kind from all processes, by pickling."""
    eval_accumulation_steps: int | None = None
    """Evaluation batches whose outputs stay on the device at a time; null keeps all there."""
    include_for_metrics: list[str] = field(default_factory=list)
    """What else the metric function is given: `inputs`, `loss`."""
    batch_eval_metrics: bool = False
    """Call the metric function batch by batch instead of once at the end."""
    save_only_model: bool = False
    """Leave optimizer and random states out of checkpoints; such a run cannot be resumed."""
    save_strategy: str = choice("steps", "no", "steps", "epoch", "best")
    """When a checkpoint is written; best means whenever the best score is beaten."""
    save_steps: float = 500
    """Optimizer steps from one checkpoint to the next; below 1, a share of all steps."""
    save_on_each_node: bool = False
    """Write checkpoints on every machine, for machines that share no disk."""
    save_total_limit: int | None = None
    """Newest checkpoints kept on disk, beside the best where one is tracked; null keeps all."""
    enable_jit_checkpoint: bool = False
    """Write a checkpoint when SIGTERM stops the run."""
    push_to_hub: bool = False
    """Upload the model to the Hub whenever it is saved."""
    hub_token: str | None = None
    """Not to be set: a token comes from the environment (HF_TOKEN)."""
    hub_private_repo: bool | None = None
    """Make the Hub repository private; null follows the organization's default."""
    hub_model_id: str | None = None
    """Hub repository to upload to, `owner/name`; null takes the output folder's name."""
    hub_strategy: str = choice("every_save", "end", "every_save", "checkpoint", "all_checkpoints")
    """What is uploaded, and when."""
    hub_always_push: bool = False
    """Upload again even while an earlier upload is still under way."""
    hub_revision: str | None = None
    """Branch of the Hub repository to upload to; null is its main one."""
    load_best_model_at_end: bool = False
    """End with the weights that scored best in evaluation, not with the last ones."""
    metric_for_best_model: str | None = None
    """Score that says which weights are best, such as rougeL; null is the loss."""
    greater_is_better: bool | None = None
    """Whether a higher score is better; null: yes, unless its name ends in loss."""
    ignore_data_skip: bool = False
    """Begin the epoch anew on resume instead of resuming at the row that was reached."""
    restore_callback_states_from_checkpoint: bool = False
    """Take the callbacks' states from the checkpoint on resume."""
    full_determinism: bool = False
    """Force PyTorch to deterministic algorithms; slower."""
    seed: int = 42
    """Not to be set here: the run's own `seed` is handed on."""
    data_seed: int | None = None
    """Seed of the order of the training rows; null takes the run's `seed`."""
    use_cpu: bool = False
    """Train on the CPU even if there is an accelerator."""
    accelerator_config: Any = None
    """Options of Accelerate, a mapping such as {split_batches: true}, or a JSON file."""
    parallelism_config: Any = None
    """How Accelerate splits the model, a mapping such as {dp_shard_size: 2}; null does not."""
    dataloader_drop_last: bool = False
    """Leave out the last batch of an epoch if it is not full."""
    dataloader_num_workers: int = 0
    """Processes beside each rank that prepare its batches; 0 uses none."""
    dataloader_pin_memory: bool = True
    """Prepare batches in page-locked memory, from where GPUs copy faster."""
    dataloader_persistent_workers: bool = False
    """Keep the preparing processes alive from one epoch to the next."""
    dataloader_prefetch_factor: int | None = None
    """Batches each preparing process holds ready; null is PyTorch's own number."""
    dataloader_multiprocessing_context: str | None = choice(None, "fork", "spawn", "forkserver")
    """How the preparing processes start; null is the platform's own way."""
    dataloader_in_order: bool = True
    """Take batches in the order they were asked for, not in the order they become ready."""
    remove_unused_columns: bool = True
    """Keep only the columns that the model's forward method takes."""
    label_names: list[str] | None = None
    """Inputs that are labels; null finds them by the model's signature."""
    train_sampling_strategy: str = choice(
        "random",
        "random",
        "sequential",
        "group_by_length",
        "batch_rebalance",
    )
    """Upstream's order of the training rows, used where `engine.sampler` is upstream."""
    length_column_name: str = "length"
    """Column that holds each row's length in tokens, for sampling by length."""
    ddp_find_unused_parameters: bool | None = None
    """Let DDP look for weights without gradient; null decides by checkpointing."""
    ddp_bucket_cap_mb: int | None = None
    """Megabytes of gradients that DDP sends at once; null is PyTorch's own number."""
    ddp_broadcast_buffers: bool | None = None
    """Let DDP copy buffers to all ranks at each forward pass; null chooses automatically."""
    ddp_static_graph: bool | None = None
    """Promise DDP that each step uses the same weights; null does not."""
    ddp_backend: str | None = choice(None, "nccl", "gloo", "mpi", "xccl", "hccl", "cncl", "mccl")
    """How processes talk to each other; null picks what fits the device."""
    ddp_timeout: int = 1800
    """Seconds that a process waits for the others before it gives up."""
    fsdp: str | bool | None = None
    """Shard the weights over the processes with PyTorch's FSDP; null does not."""
    fsdp_config: Any = None
    """Options of FSDP, a mapping such as {cpu_offload: true}, or a JSON file."""
    deepspeed: Any = None
    """Options of DeepSpeed, a mapping or a JSON file; null trains without it."""
    debug: Any = ""
    """Finders of faults: `underflow_overflow`, `tpu_metrics_debug`, or both in one text or list."""
    skip_memory_metrics: bool = True
    """Leave the memory used out of the results; to measure it slows the run."""
    do_train: bool = False
    """Train."""
    do_eval: bool = False
    """Evaluate on the validation rows after training."""
    do_predict: bool = False
    """Write predictions for the test rows at the end."""
    resume_from_checkpoint: str | None = None
    """Checkpoint to resume from; null resumes from the last one of the run."""
    local_rank: int = -1
    """Not to be set: the launcher sets the rank of each process."""
    sortish_sampler: bool = False
    """Accepted by upstream, but without effect."""
    predict_with_generate: bool = False
    """Generate summaries in evaluation and score them; off, only the loss is known."""
    generation_max_length: int | None = None
    """Not to be set here: see `generation.max_length`."""
    generation_num_beams: int | None = None
    """Not to be set here: see `generation.num_beams`."""
    generation_config: str | None = None
    """Not to be set here: see `generation`."""

    def __post_init__(self) -> None:
        check_training(self)
