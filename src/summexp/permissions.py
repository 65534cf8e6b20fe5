"""Who may read what a run writes: file modes by the umask.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def follow_umask(folder: Path) -> None:
    """Give the weights in a model folder the permissions that its other files have by themselves.

    safetensors (0.8) lets only the user read what it writes, whatever the umask.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o666 & ~umask)
