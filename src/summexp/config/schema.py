"""The whole config as one typed tree, assembled from the dataclasses beside the code of each.

Tested in tests/config/test_typed.py.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

from omegaconf import DictConfig, OmegaConf, flag_override

from summexp.config.run import DebugConfig, HubConfig, TrackingConfig
from summexp.data.config import DataConfig
from summexp.distributed.config import HardwareConfig
from summexp.engines.config import EngineConfig
from summexp.engines.generated.training_config import TrainingConfig
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.metrics.config import MetricConfig
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.paths import at_home


@dataclass(kw_only=True)
class Config:
    """One run."""

    output_dir: str | None = None
    """Folder of the run (of the sweep, with -m); a fresh one under `outputs/` where not set."""
    overwrite_output_dir: bool = False
    """Start anew in an `output_dir` that holds a run; only what summexp wrote there is deleted."""
    seed: int = 42
    """Seed of everything random: weights, order of the rows, dropout, sampling."""
    objective: str = "eval_rougeL"
    """Metric that the run returns, which is what a sweep optimises."""
    offline: bool = False
    """Use no network at all: Hub, datasets and trackers."""
    model: ModelConfig
    """The model."""
    data: DataConfig
    """The corpus."""
    training: TrainingConfig
    """Training: the fields of transformers' Seq2SeqTrainingArguments."""
    generation: GenerationOptions
    """Generation in every phase: the fields of transformers' GenerationConfig."""
    metric: MetricConfig
    """The scores."""
    engine: EngineConfig
    """The training loop."""
    hardware: HardwareConfig
    """The machine."""
    peft: PeftConfig
    """Parameter-efficient fine-tuning."""
    tracking: TrackingConfig
    """Experiment trackers."""
    hub: HubConfig
    """Publishing."""
    debug: DebugConfig
    """Ways of running that are for finding mistakes."""

    def __post_init__(self) -> None:
        if self.output_dir is not None:
            self.output_dir = at_home(self.output_dir)


SECTIONS: dict[str, type] = {
    name: hint
    for name, hint in get_type_hints(Config).items()
    if isinstance(hint, type) and is_dataclass(hint)
}
"""The groups of the config that are nodes of the tree, name to dataclass."""


def schema_section(name: str) -> DictConfig:
    """Return the typed node of one section, or with `""` of the keys that lie in none.

    Its types are OmegaConf's to guard, its names are not: a node that refused unknown names would
    also refuse a mapping for a field of any type (`training.lr_scheduler_kwargs={num_cycles: 2}`)
    unless it came with a plus. `typed.py` refuses unknown names, all of them at once.
    """
    node: DictConfig = OmegaConf.structured(SECTIONS[name] if name else Config)
    OmegaConf.set_struct(node, False)
    return node


def schema_node() -> DictConfig:
    """Return the tree of every key with its type and default, before any choice is made."""
    node = schema_section("")
    with flag_override(node, "no_deepcopy_set_nodes", True):
        for name in SECTIONS:
            node[name] = schema_section(name)
    return node


def known_keys() -> list[str]:
    """Return every key of the tree in dotted form, sections included."""
    keys = [spec.name for spec in fields(Config)]
    for name, section in SECTIONS.items():
        keys += [f"{name}.{spec.name}" for spec in fields(section)]
    return keys
