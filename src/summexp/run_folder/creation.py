"""Makes run folders, and checks beforehand that a run may be written to one.

Tested in tests/run_folder/test_layout.py.
"""

from __future__ import annotations

import errno
import os
import tempfile
import time
from pathlib import Path

from omegaconf import OmegaConf

from summexp.errors import ConfigError, Problem, shortened
from summexp.paths import at_home
from summexp.run_folder.layout import is_own_name

FRESH_FOLDERS = {"run_dir": "outputs", "sweep_dir": "multirun"}
"""Where fresh folders are made, for runs and for sweeps, by the name of the resolver."""

_KERNELS = ("/proc", "/sys")
"""Where Linux mounts file systems in which nobody can make a file."""


def register_resolvers() -> None:
    """Make `${summexp.run_dir:…}` and `${summexp.sweep_dir:…}` known to OmegaConf."""
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
    """Make and return a new folder `parent/DATE/TIME`, with a number where the second is taken."""
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
    """Make a folder and those above it, where they are not there.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error


def check_is_writable(folder: Path) -> None:
    """Check that a run folder can be made and written to; nothing is made or changed.

    Raises:
        ConfigError: a parent is a file or forbids it, or the name is no name of a folder.
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
    """Return whether this process can make files in `folder`, its capabilities counted."""
    # On the kernel's own file systems access(2) says yes to root.
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
    cannot = "be written" if os.path.isdir(folder) else "be made"
    place = _writable_place(folder)
    return ConfigError(
        Problem(
            key="output_dir",
            what=f"the folder {shortened(str(folder))} cannot {cannot}: {reason}",
            hint=f"Name a place that you may write to, such as output_dir={place}",
        )
    )


def _writable_place(refused: Path) -> str:
    """Return a folder to name in place of one that cannot be made."""
    usual = Path(FRESH_FOLDERS["run_dir"])
    if refused.is_relative_to(usual) or not may_write(Path(os.curdir)):
        return str(Path(tempfile.gettempdir(), "mine"))
    return str(usual / "mine")


def check_is_free(folder: Path) -> None:
    """Check that a run can begin in `folder`, which holds no run yet, without overwriting anything.

    Raises:
        ConfigError: it is a file, or holds files of another origin under names that a run writes.
    """
    for path in (folder, *folder.absolute().parents):
        if path.is_file():
            raise ConfigError(Problem(key="output_dir", what=f"{path} is a file, not a folder"))
    if not folder.is_dir():
        return
    taken = sorted(entry.name for entry in folder.iterdir() if is_own_name(entry.name))
    if taken:
        raise ConfigError(
            Problem(
                key="output_dir",
                what=f"{folder} holds {', '.join(taken[:4])}, but no run of summexp",
                hint=f"Nothing there is overwritten; choose another, such as output_dir={folder}-2",
            )
        )
