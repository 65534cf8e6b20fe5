"""The parts that the processes of a run take: one leads, the others follow, some only start ranks.

The leading rank knows folder, config and plan, and hands them out; whoever follows takes them from
it, so that a run has one of each however it was started.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf

from summexp.config.typed import load_config
from summexp.launch.world import nodes, outside_world
from summexp.runs.environment import prepare
from summexp.runs.folder import CONFIG_FILE
from summexp.runs.resume import RunPlan

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.launch.config import HardwareConfig


@dataclass(frozen=True)
class Assignment:
    """What every rank of a run is to do."""

    config: Config
    """The whole config, its folder included."""
    plan: RunPlan
    """What is left to do."""
    hydra: str | None
    """Hydra's own config as YAML, where Hydra started the run."""


def follows(hardware: HardwareConfig) -> bool:
    """Tell whether this process takes folder and plan from another, here or on another node."""
    world = outside_world()
    if world is not None:
        return world.rank > 0
    here = nodes(hardware)
    return here is not None and here.rank > 0


def start_ranks(config: Config, plan: RunPlan | None = None) -> None:
    """Start the ranks of this node and wait for them.

    Args:
        config: of the run.
        plan: what is left to do; None on any node but the first, where the ranks are told.

    Raises:
        SummexpError: a rank failed.
    """
    # Imports torch, which a process that only checks does without.
    from summexp.launch.local import launch_ranks

    words = {
        "hardware": asdict(config.hardware),
        "folder": config.output_dir,
        "plan": None if plan is None else asdict(plan),
        "hydra": _hydra_config(),
    }
    launch_ranks(config.hardware, json.dumps(words))


def lead(hardware: HardwareConfig, folder: Path, plan: RunPlan, hydra: str | None) -> None:
    """Do the part of rank 0 among ranks that were started here."""
    config = load_config(folder / CONFIG_FILE)
    prepare(config)
    from summexp.launch.ranks import joined
    from summexp.runs.phases import run_phases
    from summexp.runs.record import reopen

    _enter_hydra(hydra, speaks=True)
    with joined(hardware), handed_out() as hand_out:
        hand_out(config, plan)
        run_phases(config, folder, reopen(folder), plan)


def follow(hardware: HardwareConfig) -> None:
    """Do the part of any other rank: what rank 0 hands out, without a word.

    Raises:
        SystemExit: there is nothing to do, with the exit code of rank 0.
    """
    from summexp.launch.ranks import from_main, joined

    with joined(hardware):
        assignment = from_main(None)
        if not isinstance(assignment, Assignment):
            raise SystemExit(assignment)
        prepare(assignment.config)
        from summexp.runs.phases import run_phases
        from summexp.runs.record import RunRecord

        _enter_hydra(assignment.hydra, speaks=False)
        assert assignment.config.output_dir is not None
        folder = Path(assignment.config.output_dir)
        run_phases(assignment.config, folder, RunRecord(folder, {}, writes=False), assignment.plan)


class HandOut:
    """Gives the other ranks their assignment, once."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, config: Config, plan: RunPlan) -> None:
        """Let every rank begin."""
        self._give(Assignment(config, plan, _hydra_config()))

    def dismiss(self, code: int) -> None:
        """Let every rank end with an exit code, if none has begun."""
        if not self.done:
            self._give(code)

    def _give(self, what: Assignment | int) -> None:
        from summexp.launch.ranks import from_main

        self.done = True
        from_main(what)


@contextmanager
def handed_out() -> Iterator[HandOut]:
    """Give a way to hand the work out; ranks that wait for it in vain are dismissed at the end."""
    hand_out = HandOut()
    try:
        yield hand_out
    except BaseException as error:
        code = getattr(error, "exit_code", 1)
        hand_out.dismiss(code)
        raise
    hand_out.dismiss(0)


def dismiss(hardware: HardwareConfig, code: int) -> None:
    """Let the other ranks, or the other nodes, which wait for this one, end with an exit code."""
    if outside_world() is None:
        if hardware.nodes > 1:
            from summexp.launch.local import dismiss_nodes

            dismiss_nodes(hardware, code)
        return
    from summexp.launch.ranks import have_met, joined

    if not have_met():
        with joined(hardware), handed_out() as hand_out:
            hand_out.dismiss(code)


def _hydra_config() -> str | None:
    if not HydraConfig.initialized():
        return None
    return OmegaConf.to_yaml(OmegaConf.create({"hydra": HydraConfig.get()}))


def _enter_hydra(saved: str | None, *, speaks: bool) -> None:
    """Give this process the `HydraConfig` of the run, and its log if it speaks."""
    if saved is not None:
        schema = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
        # Hydra itself adds a key that its schema does not know.
        OmegaConf.set_struct(schema.hydra, False)
        tree = OmegaConf.merge(schema, OmegaConf.create(saved))
        assert isinstance(tree, DictConfig)
        HydraConfig.instance().set_config(tree)
        if speaks:
            configure_log(tree.hydra.job_logging, tree.hydra.verbose)
    if not speaks:
        silence()


def silence() -> None:
    """Say nothing more in this process: another one speaks for the run."""
    logging.getLogger().handlers = [logging.NullHandler()]
