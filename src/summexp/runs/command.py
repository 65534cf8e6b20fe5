"""The command line of a run, as recorded and as printed in advice.

Tested in tests/integration/test_command.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from summexp.config.escaping import override
from summexp.config.saved import named_root, root_flag
from summexp.config.secrets import looks_secret
from summexp.distributed.world import outside_world

INSTALLED = "summexp train"
"""`sys.argv[0]` of a run started by the `summexp` command."""
MODULE = "python -m summexp train"
"""`sys.argv[0]` of a run started by `python -m summexp`."""


def run_command(folder: Path) -> list[str]:
    """Return the command that composes this process's run again in the same working folder.

    A job of a sweep has its own command, which resumes in the job's folder. The launcher of the
    ranks comes first, if this process can read its command line.

    Args:
        folder: the run folder.
    """
    in_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if in_sweep:
        return _without_secrets([*program(), *_job_arguments(folder)])
    launcher = [] if outside_world() is None else _launcher()
    return _without_secrets([*launcher, *_typed_arguments()]) if launcher else typed_command()


def typed_command() -> list[str]:
    """Return the command line of this process, without secrets."""
    return _without_secrets([*program(), *_typed_arguments()])


def program() -> list[str]:
    """Return the arguments that start one process of this program."""
    name = sys.argv[0]
    if name in (INSTALLED, MODULE):
        return name.split()
    return ["python", name] if name.endswith(".py") else INSTALLED.split()


def relative(path: Path) -> str:
    """Return a path relative to the working folder if it lies below it, else unchanged."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _typed_arguments() -> list[str]:
    """Return the arguments after the program, without those added for Hydra."""
    return [word for word in sys.argv[1:] if not root_flag(word)]


def _without_secrets(words: list[str]) -> list[str]:
    return ["(a secret)" if looks_secret(word) else word for word in words]


def _job_arguments(folder: Path) -> list[str]:
    hydra = HydraConfig.get()
    words = []
    sources = hydra.runtime.config_sources
    if own := [one.path for one in sources if one.provider == "command-line"]:
        words += ["--config-dir", relative(Path(own[0]))]
    if hydra.job.config_name != "config":
        words += ["--config-name", str(named_root(hydra.job.config_name))]
    # Unresolved: an interpolation is resolved by the job.
    task: Any = OmegaConf.to_container(hydra.overrides.task)
    for word in task:
        if word.split("=", 1)[0] != "output_dir":
            words.append(word)
    return [*words, override("output_dir", relative(folder.absolute()))]


def _launcher() -> list[str]:
    """Return the launcher's arguments up to the program: `torchrun --nproc-per-node 2 train.py`.

    Empty if the parent's command line cannot be read or does not end with that of this process.
    """
    try:
        content = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return []
    parent = [os.fsdecode(word) for word in content.split(b"\0")[:-1]]
    mine = sys.orig_argv
    last = sys.argv[0] if sys.argv[0] in mine else "train"
    # Without Python's flags, which the launcher adds.
    starts = (at for at in range(1, len(mine)) if parent[-len(mine[at:]) :] == mine[at:])
    start = next(starts, None)
    if start is None or last not in mine[start:]:
        return []
    before = parent[: len(parent) - len(mine[start:])]
    ours = mine[start : mine.index(last, start) + 1]
    if Path(before[0]).name.startswith("python"):
        before = ["python", *before[1:]]
        if len(before) > 1 and Path(before[1]).name in ("torchrun", "accelerate"):
            before = [Path(before[1]).name, *before[2:]]
    return [*before, *ours]
