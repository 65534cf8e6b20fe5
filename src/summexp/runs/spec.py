"""The run spec: config, plan, launch and data files of a run, written once into its folder.

All processes of a run have the same spec, however they were started.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from summexp.config.typed import load_config
from summexp.data.source_files import Inspections
from summexp.distributed.world import outside_world, starts_ranks
from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.layout import CONFIG_FILE
from summexp.runs.resume import RunPlan

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.distributed.config import HardwareConfig

SPEC_FILE = ".summexp.spec.json"
"""The spec of the last run, in the run folder; its config is `config.yaml`."""


class Launch(StrEnum):
    """How the processes of a run are started."""

    SINGLE = "single"
    """There is one process."""
    LOCAL = "local"
    """The leader starts the ranks of its node, and an agent those of each other node."""
    EXTERNAL = "external"
    """torchrun, accelerate launch or srun starts the ranks."""

    @classmethod
    def of(cls, hardware: HardwareConfig) -> Launch:
        """Return how the run of this process is launched."""
        if outside_world() is not None:
            return cls.EXTERNAL
        return cls.LOCAL if starts_ranks(hardware) else cls.SINGLE


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The specification of a run that every rank receives."""

    config: Config
    """Config, with `output_dir`."""
    folder: Path
    """Run folder."""
    plan: RunPlan
    """Remaining phases."""
    launch: Launch
    """How the ranks are started."""
    hydra: str | None
    """Hydra's config as YAML; None if the run was not started by Hydra."""
    files: Inspections
    """The data files as inspected by the checks, so that no rank inspects them again."""

    @classmethod
    def new(
        cls, config: Config, folder: Path, plan: RunPlan, files: Inspections | None = None
    ) -> RunSpec:
        """Return the spec of a run that this process leads."""
        hydra = None
        if HydraConfig.initialized():
            hydra = OmegaConf.to_yaml(OmegaConf.create({"hydra": HydraConfig.get()}))
        launch = Launch.of(config.hardware)
        files = Inspections() if files is None else files.without_rows()
        return cls(config=config, folder=folder, plan=plan, launch=launch, hydra=hydra, files=files)

    def write(self) -> None:
        """Write the spec beside `config.yaml`, which holds its config."""
        entries = {
            "plan": asdict(self.plan),
            "launch": self.launch,
            "hydra": self.hydra,
            "files": self.files.to_json(),
        }
        write_json(self.folder / SPEC_FILE, entries)

    @classmethod
    def read(cls, folder: Path) -> RunSpec:
        """Read the spec that the leader wrote."""
        entries = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        return cls(
            config=load_config(folder / CONFIG_FILE),
            folder=folder,
            plan=RunPlan(**entries["plan"]),
            launch=Launch(entries["launch"]),
            hydra=entries["hydra"],
            files=Inspections.from_json(entries["files"]),
        )

    def hydra_config(self) -> DictConfig | None:
        """Return the tree with Hydra's config; None if the run was not started by Hydra."""
        if self.hydra is None:
            return None
        schema = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
        # Hydra adds a key that its schema does not have.
        OmegaConf.set_struct(schema.hydra, False)
        tree = OmegaConf.merge(schema, OmegaConf.create(self.hydra))
        assert isinstance(tree, DictConfig)
        return tree
