"""Checks before a sweep is submitted to Slurm, without contacting the cluster."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.slurm_launcher import LAUNCHER
from summexp.errors import ConfigError, Problem


def check_slurm(launcher: DictConfig, *, in_sweep: bool) -> Iterator[Problem]:
    """Yield the problems of `hydra/launcher=slurm`, where that is chosen.

    Args:
        launcher: the node `hydra.launcher` of a composed job.
        in_sweep: whether it is a job of a sweep (`-m`).
    """
    if launcher.get("_target_") != LAUNCHER:
        return
    key = "hydra/launcher"
    if not in_sweep:
        what = "slurm submits the jobs of a sweep (-m), and this is a single run"
        hint = "Add -m, for a single job too: python train.py -m hydra/launcher=slurm …"
        yield Problem(key=key, what=what, hint=hint)
    if shutil.which("sbatch") is None:
        what = "there is no sbatch here: this machine belongs to no Slurm cluster"
        yield Problem(key=key, what=what, hint="Start the sweep on the cluster's login node.")
    if importlib.util.find_spec("submitit") is None:
        what = "needs submitit, which is not installed"
        hint = 'Install it: pip install -c constraints.txt -e ".[slurm]"'
        yield Problem(key=key, what=what, hint=hint)
    try:
        OmegaConf.to_object(launcher)
    except ConfigError as error:
        yield from error.problems
    except OmegaConfBaseException as error:
        yield Problem(key="hydra.launcher", what=str(error).splitlines()[0])
