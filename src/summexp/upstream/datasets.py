"""Private and unstable names of datasets, read in 5.2."""

from __future__ import annotations

import re
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

import datasets
import pyarrow as pa
from datasets.data_files import EmptyDatasetError
from datasets.table import InMemoryTable, MemoryMappedTable

NoFilesError = EmptyDatasetError
"""A folder has no file; unlike `DataFilesNotFoundError`, it is in no module of exceptions."""


def fingerprint(rows: datasets.Dataset) -> str:
    """Return the digest of how `rows` came about, the same in each process.

    `Dataset._fingerprint` has no public name, and to hash the rows would mean to read them all.
    """
    return str(rows._fingerprint)


def rows_in_memory(table: pa.Table, digest: str) -> datasets.Dataset:
    """Return a table of pyarrow as rows with the fingerprint `digest`.

    The table classes are needed since `Dataset.from_…` make a fingerprint of their own, which
    differs from process to process.
    """
    return datasets.Dataset(InMemoryTable(table), fingerprint=digest)


def rows_of_file(path: Path, digest: str) -> datasets.Dataset:
    """Return an Arrow file as memory-mapped rows with the fingerprint `digest`."""
    return datasets.Dataset(MemoryMappedTable.from_file(str(path)), fingerprint=digest)


def downloads_folder() -> Path:
    """Return the folder of downloaded datasets, which `load_dataset` takes without `cache_dir`."""
    return Path(datasets.config.HF_DATASETS_CACHE)


class Cause(Enum):
    """What an error of datasets is about."""

    GATED = auto()
    """The owner of a repository has not granted access."""
    REVISION = auto()
    """A repository has no such revision."""
    SCRIPT = auto()
    """A repository is a loading script."""
    CONFIGURATION = auto()
    """A repository has no such configuration, or several of which none was named."""
    SPLIT = auto()
    """A repository has no such split."""


class Recognized(NamedTuple):
    """An error that has no class of its own."""

    cause: Cause
    """What it is about."""
    available: list[str]
    """The configurations or splits that there are, if it names them."""


_MESSAGES = {
    Cause.GATED: r"gated dataset",
    Cause.REVISION: r"\ARevision '",
    Cause.SCRIPT: r"scripts are no longer supported",
    Cause.CONFIGURATION: r"\A(Config name is missing|BuilderConfig .*not found)",
    Cause.SPLIT: r"Unknown split|Bad split",
}


def recognized(error: Exception) -> Recognized | None:
    """Return what an error without a class of its own is about, by its message; None if unknown.

    A gated repository and an unknown revision share `DatasetNotFoundError`, the others ValueError
    and RuntimeError.
    """
    message = str(error)
    for cause, pattern in _MESSAGES.items():
        if re.search(pattern, message, re.DOTALL):
            listed = message.partition("[")[2].partition("]")[0]
            return Recognized(cause, re.findall(r"'([^']+)'", listed))
    return None
