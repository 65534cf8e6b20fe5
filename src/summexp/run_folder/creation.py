"""Creation of run folders, and checks that a run may be written to one.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

from omegaconf import OmegaConf

from summexp.errors import ConfigError, shortened
from summexp.paths import at_home
from summexp.run_folder.layout import is_own_name

FRESH_FOLDERS = {"run_dir": "outputs", "sweep_dir": "multirun"}
"""Parent folders of fresh run and sweep folders, by the name of the resolver."""

_KERNELS = ("/proc", "/sys")
"""Mount points of Linux's virtual file systems, in which no file can be created."""


def register_resolvers() -> None:
    """Register the OmegaConf resolvers `summexp.run_dir` and `summexp.sweep_dir`."""
    for name, parent in FRESH_FOLDERS.items():
        OmegaConf.register_new_resolver(
            f"summexp.{name}",
            lambda given, parent=parent: (
                at_home(given) if given else str(fresh_folder(Path(parent)))
            ),
            use_cache=True,
            replace=True,
        )


def fresh_folder(parent: Path) -> Path:
    """Create and return `parent/DATE/TIME`, with a number appended if that exists."""
    day = parent / time.strftime("%Y-%m-%d")
    make_folder(day)
    second = time.strftime("%H-%M-%S")
    number = 1
    while True:
        folder = day / (second if number == 1 else f"{second}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, if they do not exist.

    Raises:
        ConfigError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error


def check_is_writable(folder: Path) -> None:
    """Check that a run folder can be created and written to; nothing is changed.

    Raises:
        ConfigError: a parent is a file or not writable, or the name is invalid.
    """
    try:
        place = next(path for path in (folder, *folder.absolute().parents) if _exists(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _unwritable(folder, reason) from None
    if not place.is_dir():
        raise _unwritable(folder, f"{place} is a file, not a folder")
    if not may_write(place):
        read_only = os.statvfs(place).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise _unwritable(folder, reason if place == folder else f"{place}: {reason}")


def may_write(folder: Path) -> bool:
    """Return whether this process can create files in `folder`, with its effective user ID."""
    # On the kernel's virtual file systems access(2) succeeds for root.
    if os.stat(folder).st_dev in {os.stat(one).st_dev for one in _KERNELS if os.path.ismount(one)}:
        return False
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _unwritable(folder: Path, reason: str | None) -> ConfigError:
    action = "write to" if os.path.isdir(folder) else "create"
    place = _writable_place(folder)
    return ConfigError.of(
        key="output_dir",
        what=f"cannot {action} the folder {shortened(str(folder))}: {reason}",
        hint=f"Choose a writable folder, such as output_dir={place}",
    )


def _writable_place(unwritable: Path) -> str:
    """Return a folder to suggest in place of one that cannot be created."""
    usual = Path(FRESH_FOLDERS["run_dir"])
    if unwritable.is_relative_to(usual) or not may_write(Path(os.curdir)):
        return str(Path(tempfile.gettempdir(), "mine"))
    return str(usual / "mine")


def check_is_free(folder: Path) -> None:
    """Check that a new run would overwrite nothing in `folder`, which holds no run.

    Raises:
        ConfigError: it is a file, or holds foreign files under names that a run writes.
    """
    for path in (folder, *folder.absolute().parents):
        if path.is_file():
            raise ConfigError.of(key="output_dir", what=f"{path} is a file, not a folder")
    if not folder.is_dir():
        return
    taken = sorted(entry.name for entry in folder.iterdir() if is_own_name(entry.name))
    if taken:
        raise ConfigError.of(
            key="output_dir",
            what=f"{folder} holds {', '.join(taken[:4])}, but no run of summexp",
            hint="Existing files are not overwritten; choose another folder, such as "
            f"output_dir={folder}-2",
        )
