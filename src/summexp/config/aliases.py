"""Rejected keys: aliases of summexp's keys, and upstream options without effect.

Tested in tests/test_check.py.
"""

from __future__ import annotations

from typing import Any

ALIASES = {
    "training.output_dir": "Set output_dir instead.",
    "training.seed": "Set seed instead.",
    "training.report_to": "Choose tracking=tensorboard or tracking=wandb instead.",
    "training.run_name": "Set tracking.run_name instead.",
    "training.project": "Set tracking.project instead.",
    "training.generation_max_length": "Set generation.max_length instead.",
    "training.generation_num_beams": "Set generation.num_beams instead.",
    "training.generation_config": "Set generation.*, one key for each option, instead.",
    "training.use_cpu": "Choose hardware=cpu instead.",
    "training.ddp_backend": "It follows from hardware.backend.",
    "training.ddp_timeout": "Set hardware.timeout_minutes instead.",
    "training.local_rank": "The launcher sets the rank of each process.",
    "training.disable_tqdm": "The progress bar is shown on a terminal only.",
    "hydra.run.dir": "Set output_dir instead.",
    "hydra.sweep.dir": "Set output_dir instead.",
    "hydra.sweep.subdir": "Set output_dir instead; jobs go to N/ below it.",
    "hydra.mode": "Add the flag -m for a sweep instead.",
    "hydra.searchpath": "Add your own folder with --config-dir instead.",
    "hydra.job.chdir": "A run keeps its working folder, so that relative paths stay valid.",
}
"""Keys of Hydra and upstream that summexp replaces by its own, each with advice."""

_EVALUATION = "has no effect, since all engines share summexp's evaluation"
_ONE_SUMMARY = "has no effect, since a run only keeps one summary of each document"
GONE = "would fail in the first evaluation, since transformers removed its code"

NO_EFFECT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "training.eval_accumulation_steps": (_EVALUATION, ()),
    "training.batch_eval_metrics": (_EVALUATION, ()),
    "training.include_for_metrics": (_EVALUATION, ()),
    "training.eval_do_concat_batches": (_EVALUATION, ()),
    "training.eval_use_gather_object": (_EVALUATION, ()),
    "training.label_names": ("has no effect, since the labels are known", ()),
    "training.remove_unused_columns": ("has no effect, since rows hold tokens alone", ()),
    "training.sortish_sampler": ("has no effect, upstream included", ()),
    "generation.num_return_sequences": (_ONE_SUMMARY, (1,)),
    "generation.return_dict_in_generate": (_ONE_SUMMARY, (False,)),
    "generation.output_attentions": (_ONE_SUMMARY, (False,)),
    "generation.output_hidden_states": (_ONE_SUMMARY, (False,)),
    "generation.output_scores": (_ONE_SUMMARY, (False,)),
    "generation.output_logits": (_ONE_SUMMARY, (False,)),
    "generation.is_assistant": ("has no effect, since a run has one model", (False,)),
    "generation.continuous_batching_config": ("has no effect, upstream included", ()),
    "generation.low_memory": (GONE, (False,)),
    "generation.penalty_alpha": (GONE, (0,)),
    "generation.dola_layers": (GONE, ([],)),
    "generation.diversity_penalty": (GONE, (0,)),
    "generation.num_beam_groups": (GONE, (1,)),
    "generation.constraints": (GONE, ([],)),
    "generation.force_words_ids": (GONE, ([],)),
}
"""Upstream options without effect: the reason, and further values that are accepted.

They are rejected, since ignoring them would mislead the user.
"""
