"""Typed schema of the config, assembled from the dataclasses of each package.

Tested in tests/config/test_typed.py.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
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
    """Config of a run."""

    output_dir: str | None = None
    """Run folder (sweep folder with -m); a fresh one under `outputs/` if not set."""
    overwrite_output_dir: bool = False
    """Delete the run in `output_dir` and start a new one; only files of summexp are deleted."""
    seed: int = 42
    """Seed of weights, order of the rows, dropout and sampling."""
    objective: str = "eval_rougeL"
    """Metric that the run returns, and a sweep optimises."""
    offline: bool = False
    """Disable network access: Hub, datasets and trackers."""
    model: ModelConfig
    """The model."""
    data: DataConfig
    """The data."""
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
    """Debug modes."""

    def __post_init__(self) -> None:
        if self.output_dir is not None:
            self.output_dir = at_home(self.output_dir)


SECTIONS: dict[str, type] = {
    name: hint
    for name, hint in get_type_hints(Config).items()
    if isinstance(hint, type) and is_dataclass(hint)
}
"""The sections (groups) of the config, name to dataclass."""


def schema_section(name: str) -> DictConfig:
    """Return the typed node of one section, or of the top-level keys with `""`.

    OmegaConf checks its types, but not its names: a struct node would also reject a mapping for a
    field of any type (`training.lr_scheduler_kwargs={num_cycles: 2}`) without a plus. `typed.py`
    reports all unknown names together.
    """
    node: DictConfig = OmegaConf.structured(SECTIONS[name] if name else Config)
    OmegaConf.set_struct(node, False)
    return node


def schema_node() -> DictConfig:
    """Return the tree of every key with its type and default, without any choice."""
    node = schema_section("")
    with flag_override(node, "no_deepcopy_set_nodes", True):
        for name in SECTIONS:
            node[name] = schema_section(name)
    return node
