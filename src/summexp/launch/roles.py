"""Roles of the processes of a run: rank 0, workers, and launchers of ranks.

Rank 0 has the config, the folder and the plan, and broadcasts them as a `RunSpec`.

Tested in tests/integration/test_launch.py, tests/integration/test_ranks.py.
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
from summexp.distributed.world import nodes, outside_world
from summexp.run_folder.layout import CONFIG_FILE
from summexp.runs.process_environment import prepare
from summexp.runs.resume import RunPlan

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.distributed.config import HardwareConfig


@dataclass(frozen=True)
class RunSpec:
    """The specification of a run that every rank receives."""

    config: Config
    """Config, with its run folder."""
    plan: RunPlan
    """Remaining phases."""
    hydra: str | None
    """Hydra's config as YAML; None if the run was not started by Hydra."""


def is_worker(hardware: HardwareConfig) -> bool:
    """Return whether this process receives its run spec from rank 0, on this or another node."""
    world = outside_world()
    if world is not None:
        return world.rank > 0
    here = nodes(hardware)
    return here is not None and here.rank > 0


def start_ranks(config: Config, plan: RunPlan | None = None) -> None:
    """Start the ranks of this node and wait for them.

    Args:
        config: the config of the run.
        plan: the remaining phases; None on every node but the first, whose ranks receive it.

    Raises:
        SummexpError: a rank failed.
    """
    # Imports torch.
    from summexp.launch.local import launch_ranks

    spec = {
        "hardware": asdict(config.hardware),
        "folder": config.output_dir,
        "plan": None if plan is None else asdict(plan),
        "hydra": _hydra_config(),
    }
    launch_ranks(config.hardware, json.dumps(spec))


def run_rank_zero(hardware: HardwareConfig, folder: Path, plan: RunPlan, hydra: str | None) -> None:
    """Run as rank 0 of ranks started on this node."""
    config = load_config(folder / CONFIG_FILE)
    prepare(config)
    from summexp.distributed.ranks import process_group
    from summexp.runs.phase_runner import run_phases
    from summexp.runs.record import reopen

    _set_hydra_config(hydra, logs=True)
    with process_group(hardware), broadcasting_run_spec() as broadcast:
        broadcast(config, plan)
        run_phases(config, folder, reopen(folder), plan)


def run_worker(hardware: HardwareConfig) -> None:
    """Run as a rank other than 0: receive the run spec, and run it without logging.

    Raises:
        SystemExit: rank 0 has aborted; carries its exit code.
    """
    from summexp.distributed.ranks import broadcast_object, process_group

    with process_group(hardware):
        spec = broadcast_object(None)
        if not isinstance(spec, RunSpec):
            raise SystemExit(spec)
        prepare(spec.config)
        from summexp.runs.phase_runner import run_phases
        from summexp.runs.record import RunRecord

        _set_hydra_config(spec.hydra, logs=False)
        assert spec.config.output_dir is not None
        folder = Path(spec.config.output_dir)
        run_phases(spec.config, folder, RunRecord(folder, {}, writes=False), spec.plan)


class RunSpecBroadcast:
    """Broadcasts the run spec to the other ranks, once."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, config: Config, plan: RunPlan) -> None:
        """Send the run spec to every rank."""
        self._send(RunSpec(config, plan, _hydra_config()))

    def abort(self, code: int) -> None:
        """End every rank with an exit code, unless the run spec was sent."""
        if not self.done:
            self._send(code)

    def _send(self, message: RunSpec | int) -> None:
        from summexp.distributed.ranks import broadcast_object

        self.done = True
        broadcast_object(message)


@contextmanager
def broadcasting_run_spec() -> Iterator[RunSpecBroadcast]:
    """Yield the broadcast; ranks that are still waiting at the end are aborted."""
    broadcast = RunSpecBroadcast()
    try:
        yield broadcast
    except BaseException as error:
        code = getattr(error, "exit_code", 1)
        broadcast.abort(code)
        raise
    broadcast.abort(0)


def abort(hardware: HardwareConfig, code: int) -> None:
    """End the other ranks or nodes, which are waiting for this one, with an exit code."""
    if outside_world() is None:
        if hardware.nodes > 1:
            from summexp.launch.local import abort_nodes

            abort_nodes(hardware, code)
        return
    from summexp.distributed.ranks import is_initialized, process_group

    if not is_initialized():
        with process_group(hardware), broadcasting_run_spec() as broadcast:
            broadcast.abort(code)


def _hydra_config() -> str | None:
    if not HydraConfig.initialized():
        return None
    return OmegaConf.to_yaml(OmegaConf.create({"hydra": HydraConfig.get()}))


def _set_hydra_config(saved: str | None, *, logs: bool) -> None:
    """Set the `HydraConfig` of the run in this process, and its logging if `logs`."""
    if saved is not None:
        schema = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
        # Hydra adds a key that its schema does not have.
        OmegaConf.set_struct(schema.hydra, False)
        tree = OmegaConf.merge(schema, OmegaConf.create(saved))
        assert isinstance(tree, DictConfig)
        HydraConfig.instance().set_config(tree)
        if logs:
            configure_log(tree.hydra.job_logging, tree.hydra.verbose)
    if not logs:
        silence()


def silence() -> None:
    """Disable logging in this process: rank 0 logs for the run."""
    logging.getLogger().handlers = [logging.NullHandler()]
