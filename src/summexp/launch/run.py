"""Run of a spec in the roles of its processes, however they were started.

The leader plans the run under the lock of its folder and writes the run spec. It runs the phases
itself, alone or as rank 0, or starts ranks that run them. It records the status at the end.

The module does not import torch: a finished run and a locked folder are detected without it.

Tested in tests/integration/test_launch.py, tests/integration/test_ranks.py.
"""

from __future__ import annotations

import logging
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import configure_log

from summexp.distributed.world import nodes, outside_world, world_size
from summexp.launch.peers import Peers, receive_spec, waiting_peers
from summexp.paths import display_path
from summexp.run_folder.deletion import clear
from summexp.run_folder.storage_errors import storage_errors
from summexp.runs.ending import record_end
from summexp.runs.lock import lock
from summexp.runs.metric_files import read_metric
from summexp.runs.process_environment import prepare
from summexp.runs.record import RunRecord, begin, reopen
from summexp.runs.resume import RunPlan, plan_run, verify_checkpoint
from summexp.runs.spec import Launch, RunSpec

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.data.source_files import Inspections
    from summexp.distributed.config import HardwareConfig

log = logging.getLogger(__name__)


class Role(Enum):
    """The role of a process in a run."""

    LEADER = "leader"
    """Plans the run, writes the spec and records the status."""
    RANK_ZERO = "rank 0"
    """The first of the ranks that the leader started; reads the spec from the run folder."""
    WORKER = "worker"
    """Any other rank; receives the spec from rank 0."""
    AGENT = "agent"
    """The launcher on a node other than the first; starts workers."""


def this_role(hardware: HardwareConfig) -> Role:
    """Return the role of this process, started by the user or by torchrun, srun and the like."""
    world = outside_world()
    if world is not None:
        return Role.LEADER if world.rank == 0 else Role.WORKER
    here = nodes(hardware)
    return Role.AGENT if here is not None and here.rank > 0 else Role.LEADER


def lead(
    config: Config, plan: RunPlan | None = None, files: Inspections | None = None
) -> float | None:
    """Run the remaining phases of `config.output_dir` as the leader.

    Args:
        config: the config, with `output_dir` set to the run folder.
        plan: the remaining phases, planned under the lock that this process holds; None plans them
            here.
        files: the data files as inspected by the checks; a file not among them is inspected when
            it is read.

    Returns:
        The metric of `config.objective`, or None if it was not computed.

    Raises:
        ConfigError: an error found only now (columns of a Hub dataset, keys of an architecture),
            or the folder holds another run.
        RunError: the run failed, for the reason in the message.
    """
    assert config.output_dir is not None
    folder = Path(config.output_dir)
    with waiting_peers(config.hardware) as peers, lock(folder):
        plan = plan_run(config, folder) if plan is None else plan
        if plan.train:
            verify_checkpoint(config)
        if config.overwrite_output_dir:
            clear(folder)
        if plan.is_done:
            log.info("already finished, nothing to do: %s", folder)
        else:
            log.info(
                "%s %s", "resuming in" if plan.resumes else "run folder:", display_path(folder)
            )
            run(RunSpec.new(config, folder, plan, files), Role.LEADER, peers)
    return read_metric(folder, config.objective)


def join(config: Config, role: Role) -> None:
    """Join a run that another process leads, as a worker or as the agent of a node.

    Raises:
        SystemExit: the leader has aborted; carries its exit code.
    """
    prepare(config)
    if role is Role.AGENT:
        # Imports torch.
        from summexp.launch.local import launch_ranks

        launch_ranks(config.hardware, None)
    else:
        follow(config.hardware)


def follow(hardware: HardwareConfig) -> None:
    """Receive the run spec from rank 0, and run it as a worker.

    Raises:
        SystemExit: the leader has aborted; carries its exit code.
    """
    from summexp.distributed.ranks import process_group

    with process_group(hardware):
        run(receive_spec(), Role.WORKER)


def run_rank_zero(folder: Path) -> None:
    """Run the spec in the run folder as rank 0 of the ranks that the leader started."""
    spec = RunSpec.read(folder)
    with waiting_peers(spec.config.hardware) as peers:
        run(spec, Role.RANK_ZERO, peers)


def run(spec: RunSpec, role: Role, peers: Peers | None = None) -> None:
    """Run the remaining phases of a spec.

    Args:
        spec: the run spec, the same in all processes of the run.
        role: the role of this process.
        peers: the processes that wait for the spec; None for a worker.
    """
    _set_hydra_config(spec, role)
    record = _open_record(spec, role)
    try:
        prepare(spec.config)
        if peers is not None:
            peers.start(spec)
        # Both import torch.
        if role is Role.LEADER and spec.launch is Launch.LOCAL:
            from summexp.launch.local import launch_ranks

            launch_ranks(spec.config.hardware, spec.folder)
        else:
            from summexp.runs.phase_runner import run_phases

            run_phases(spec.config, spec.folder, record, spec.plan, spec.files)
    except BaseException as error:
        if role is Role.LEADER:
            record_end(record, error, world_size(spec.config.hardware))
        raise


def _open_record(spec: RunSpec, role: Role) -> RunRecord:
    if role is Role.LEADER:
        with storage_errors(spec.folder):
            record = begin(spec.config, spec.folder, resumes=spec.plan.resumes)
            spec.write()
        return record
    if role is Role.RANK_ZERO:
        return reopen(spec.folder)
    return RunRecord(spec.folder, {}, writes=False)


def _set_hydra_config(spec: RunSpec, role: Role) -> None:
    """Set the `HydraConfig` of the run in a rank, and its logging in rank 0."""
    if role is Role.LEADER:
        return
    tree = spec.hydra_config()
    if tree is not None:
        HydraConfig.instance().set_config(tree)
    if role is Role.WORKER:
        silence()
    elif tree is not None:
        configure_log(tree.hydra.job_logging, tree.hydra.verbose)


def silence() -> None:
    """Disable logging in this process: rank 0 logs for the run."""
    logging.getLogger().handlers = [logging.NullHandler()]
