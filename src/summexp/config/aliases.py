"""Keys that are rejected: aliases of our own, and options of upstream without effect.

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
    "training.local_rank": "The launcher tells each process its number.",
    "training.disable_tqdm": "The progress bar shows on a terminal only, not in a file.",
    "hydra.run.dir": "Set output_dir instead.",
    "hydra.sweep.dir": "Set output_dir instead.",
    "hydra.sweep.subdir": "Set output_dir instead; jobs go to N/ below it.",
    "hydra.mode": "Add the flag -m for a sweep instead.",
    "hydra.searchpath": "Add a folder of your own with --config-dir instead.",
    "hydra.job.chdir": "A run stays where it was started, so that paths keep their meaning.",
}
"""Keys that exist in Hydra or upstream, but whose truth lies elsewhere, each with what to do."""

_OWN_EVALUATION = "has no effect, since all engines share an evaluation of our own"
_ONE_SUMMARY = "has no effect, since a run keeps one summary of each document and nothing else"
_GONE = "would stop the first evaluation, since its code left transformers"

NO_EFFECT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "training.eval_accumulation_steps": (_OWN_EVALUATION, ()),
    "training.batch_eval_metrics": (_OWN_EVALUATION, ()),
    "training.include_for_metrics": (_OWN_EVALUATION, ()),
    "training.eval_do_concat_batches": (_OWN_EVALUATION, ()),
    "training.eval_use_gather_object": (_OWN_EVALUATION, ()),
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
    "generation.low_memory": (_GONE, (False,)),
    "generation.penalty_alpha": (_GONE, (0,)),
    "generation.dola_layers": (_GONE, ()),
    "generation.diversity_penalty": (_GONE, (0,)),
    "generation.num_beam_groups": (_GONE, (1,)),
    "generation.constraints": (_GONE, ()),
    "generation.force_words_ids": (_GONE, ()),
}
"""Upstream's options that do nothing here: why, and the values beside the default that do no harm.

To ignore them would let someone believe in a setting that was never in force.
"""
