"""Names of torch.distributed that are in no documentation, read in 2.13.

Importing this module is cheap, and its functions do not import torch.
"""

from __future__ import annotations

import re
import sys

LAUNCHER_HAS_STORE = {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
"""Variables of a rank that joins the store at MASTER_PORT; without them, rank 0 creates one.

They are those of torchrun. `init_process_group` takes a store too, but is called by Accelerate.
"""

_LOST_PEER = re.compile(r"gloo|nccl|TCPStore", re.IGNORECASE)


def is_of_collective(error: BaseException) -> bool:
    """Return whether an error comes from a collective operation, or from the store.

    Most are `DistError`; gloo raises a plain RuntimeError, which is known by its message.
    """
    # Who called a collective has imported it.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None:
        return False
    if isinstance(error, distributed.DistError):
        return True
    return type(error) is RuntimeError and bool(_LOST_PEER.search(str(error)))
