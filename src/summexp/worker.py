"""Entry point of a rank, `python -m summexp.worker`, started by the local launcher.

Tested in tests/integration/test_launch.py.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from summexp.distributed.config import HardwareConfig
from summexp.distributed.failures import report_failure
from summexp.distributed.signals import end_on_signals, end_with
from summexp.errors import SummexpError
from summexp.launch.local import PARENT
from summexp.launch.run import follow, run_rank_zero
from summexp.streams import guard_standard_streams


def main() -> NoReturn:
    """Run as a rank, report a failure to the launcher, and exit."""
    end_with(int(os.environ[PARENT]))
    # The launcher sends SIGTERM, even if it is ignored.
    end_on_signals(also_ignored=[signal.SIGTERM])
    guard_standard_streams()
    # Print a traceback on a crash in compiled code.
    faulthandler.enable()
    code = 0
    try:
        _run(json.loads(sys.argv[1]))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        report_failure(error)
        code = error.exit_code if isinstance(error, SummexpError) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    # Skip the interpreter's shutdown, where a library could wait for a lost rank.
    os._exit(code)


def _run(arguments: dict[str, Any]) -> None:
    if os.environ["RANK"] == "0":
        run_rank_zero(Path(arguments["folder"]))
    else:
        follow(HardwareConfig(**arguments["hardware"]))


if __name__ == "__main__":
    main()
