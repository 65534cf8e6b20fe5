"""File permissions of a model folder, by the umask.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import os
from pathlib import Path


def follow_umask(folder: Path) -> None:
    """Set the permissions of the weights in a model folder by the umask.

    safetensors (0.8) writes files that only the user can read, whatever the umask.
    """
    umask = os.umask(0o077)
    os.umask(umask)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o666 & ~umask)
