"""Message of a run stopped by a signal, with the command that resumes it.

Tested in tests/integration/test_interruption.py.
"""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from summexp.config.escaping import override
from summexp.distributed.world import outside_world
from summexp.paths import display_path
from summexp.run_folder.checkpoints import checkpoints, has_manifest
from summexp.runs.command import relative, run_command, typed_command

if TYPE_CHECKING:
    from summexp.runs.record import RunRecord


def describe_interruption(record: RunRecord, signum: int) -> str:
    """Format, in one line, the signal, the saved checkpoint and the command that resumes the run.

    Args:
        record: the record of the run, with its last state.
        signum: number of the signal.
    """
    folder = record.folder
    stopped = f"stopped by {signal.Signals(signum).name}"
    if record.content.get("status") == "finished":
        return f"{stopped}; the run in {display_path(folder)} is finished"
    checkpoint = next((one for one in checkpoints(folder) if has_manifest(one)), None)
    if "train" in record.content["phases"]:
        kept, does = f"the trained model is in {display_path(folder)}", "does the rest"
    elif checkpoint is not None:
        kept, does = f"saved {display_path(checkpoint)}", "resumes from it"
    else:
        steps = record.content.get("progress", {}).get("step", 0)
        kept = "no checkpoint was saved" if steps else "nothing to save"
        does = "starts again"
    return f"{stopped}; {kept}; {_how(folder, does)}"


def _how(folder: Path, does: str) -> str:
    """Format which command `does` something in `folder`."""
    words = run_command(folder) if outside_world() else typed_command()
    # Repeated, it would delete the checkpoint.
    again = [word for word in words if word.partition("=")[0] != "overwrite_output_dir"]
    if not any(word.startswith("output_dir=") for word in words):
        again.append(override("output_dir", _named_folder(folder)))
    same = "the same command"
    if outside_world() is not None and words == typed_command():
        # The launcher's command line is unknown here.
        added, left_out = set(again) - set(words), set(words) - set(again)
        changes = [*(f"with {word}" for word in added), *(f"without {word}" for word in left_out)]
        return " ".join([same, *changes, does])
    if again != words:
        same = f"{same} in that folder"
    return f"{same} {does}: {shlex.join(again)}"


def _named_folder(folder: Path) -> str:
    """Return the `output_dir` for the command line: for a sweep's job, the sweep folder."""
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        folder = Path(HydraConfig.get().sweep.dir)
    return relative(folder.absolute())
