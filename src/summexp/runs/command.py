"""The command that a run is started again with, as the words of a shell.

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
"""`sys.argv[0]` of a run that the `summexp` command starts."""
MODULE = "python -m summexp train"
"""`sys.argv[0]` of a run that `python -m summexp` starts."""


def run_command(folder: Path) -> list[str]:
    """Return the command of this process's run, which in the same working folder composes it again.

    A job of a sweep has a command of its own, which resumes in the job's folder. What launched the
    ranks stands in front, where this process can see it.

    Args:
        folder: of the run.
    """
    in_sweep = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    if in_sweep:
        return _without_secrets([*program(), *_job_words(folder)])
    launcher = [] if outside_world() is None else _launcher()
    return _without_secrets([*launcher, *_typed_words()]) if launcher else typed_command()


def typed_command() -> list[str]:
    """Return the words of this process's command, without secrets."""
    return _without_secrets([*program(), *_typed_words()])


def program() -> list[str]:
    """Return the words that start one process of this program."""
    name = sys.argv[0]
    if name in (INSTALLED, MODULE):
        return name.split()
    return ["python", name] if name.endswith(".py") else INSTALLED.split()


def relative(path: Path) -> str:
    """Return an absolute path from the working folder on, where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _typed_words() -> list[str]:
    """Return the words after the program, without what was added for Hydra."""
    return [word for word in sys.argv[1:] if not root_flag(word)]


def _without_secrets(words: list[str]) -> list[str]:
    return ["(a secret)" if looks_secret(word) else word for word in words]


def _job_words(folder: Path) -> list[str]:
    hydra = HydraConfig.get()
    words = []
    sources = hydra.runtime.config_sources
    if own := [one.path for one in sources if one.provider == "command-line"]:
        words += ["--config-dir", relative(Path(own[0]))]
    if hydra.job.config_name != "config":
        words += ["--config-name", str(named_root(hydra.job.config_name))]
    # As it is written: an interpolation in it is the job's to resolve.
    task: Any = OmegaConf.to_container(hydra.overrides.task)
    for word in task:
        if word.split("=", 1)[0] != "output_dir":
            words.append(word)
    return [*words, override("output_dir", relative(folder.absolute()))]


def _launcher() -> list[str]:
    """Return the parent's words up to ours: `torchrun --nproc-per-node 2 train.py`.

    Empty where the parent's words cannot be read, or are not followed by ours.
    """
    try:
        content = Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
    except OSError:
        return []
    parent = [os.fsdecode(word) for word in content.split(b"\0")[:-1]]
    mine = sys.orig_argv
    last = sys.argv[0] if sys.argv[0] in mine else "train"
    # Without Python's own flags, which the launcher adds.
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
