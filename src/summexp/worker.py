"""A rank of a run: `python -m summexp.worker`, as the launcher starts it."""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from summexp.errors import SummexpError
from summexp.launch.config import HardwareConfig
from summexp.launch.failures import tell_failure
from summexp.launch.local import PARENT
from summexp.launch.signals import end_on_signals, end_with
from summexp.runs.parts import follow, lead
from summexp.runs.resume import RunPlan
from summexp.streams import guard_standard_streams


def main() -> NoReturn:
    """Do this rank's part of the run, tell the parent why it failed if it did, and exit."""
    end_with(int(os.environ[PARENT]))
    # Of the signals, what the parent sends.
    end_on_signals(also_ignored=[signal.SIGTERM])
    guard_standard_streams()
    # A crash in compiled code then says where it was.
    faulthandler.enable()
    code = 0
    try:
        _do(json.loads(sys.argv[1]))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        tell_failure(error)
        code = error.exit_code if isinstance(error, SummexpError) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by way of the interpreter's end, where a library could wait for a rank that is gone.
    os._exit(code)


def _do(assignment: dict[str, Any]) -> None:
    hardware = HardwareConfig(**assignment["hardware"])
    if os.environ["RANK"] == "0":
        lead(
            hardware, Path(assignment["folder"]), RunPlan(**assignment["plan"]), assignment["hydra"]
        )
    else:
        follow(hardware)


if __name__ == "__main__":
    main()
