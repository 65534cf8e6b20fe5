"""Cache of a corpus's splits as Arrow tables, shared by all jobs with the same content.

A stored split is a folder of three files: `rows.arrow` (columns `id`, `document`, `summary`, and
optionally `references`), `hashes.npy` and `counts.json`. It is written under a temporary name and
renamed, so that it is complete or absent; if two jobs write the same split, either one is kept.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa

from summexp.data.columns import Example, is_blank
from summexp.data.health import Hashes, SplitHealth, count_repeats, row_hashes
from summexp.data.shares import HashRange
from summexp.upstream.datasets import rows_in_memory, rows_of_file

SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "document", "summary")])
"""Rows with one reference each."""
SCHEMA_OF_SEVERAL = SCHEMA.append(pa.field("references", pa.list_(pa.string())))
"""Rows that may have several references."""
_BATCH_ROWS = 1000
_ROWS, _HASHES, _COUNTS = "rows.arrow", "hashes.npy", "counts.json"


@dataclass(frozen=True, kw_only=True)
class Split:
    """The rows of a split, with counts."""

    rows: datasets.Dataset
    """Columns `id`, `document`, `summary` (may be None), in input order; with `SCHEMA_OF_SEVERAL`
    also `references` (empty if there is only the summary)."""
    health: SplitHealth
    """Counts of the split."""
    hashes: Hashes
    """Hashes of each row with a document, to find duplicates."""
    fingerprint: str
    """Digest of all rows in order, 32 hexadecimal digits."""


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Which rows of a source a split has."""

    keep_all: bool
    """Whether to keep rows without a document or a summary (for prediction)."""
    limit: int | None = None
    """Maximum number of used rows."""
    within: HashRange | None = None
    """Hash range of the rows; None for all rows."""
    schema: pa.Schema = SCHEMA
    """`SCHEMA`, or `SCHEMA_OF_SEVERAL`."""


def stored_split(cache: Path, key: str) -> Split | None:
    """Return a stored split, or None if there is none.

    Args:
        cache: the cache folder.
        key: a `cache_key` of the source and of the options.
    """
    folder = _folder(cache, key)
    return _read(folder) if folder.is_dir() else None


class SplitWriter:
    """Selects the used rows of a split, counts them, and stores them or holds them in memory."""

    def __init__(self, options: SplitOptions, cache: Path | None) -> None:
        """Prepare an empty split.

        Args:
            options: which rows it has.
            cache: the cache folder; None to hold the rows in memory.
        """
        self._options = options
        self._cache = cache
        self._rows: list[Example] = []
        self._table: list[pa.RecordBatch] = []
        self._used = 0
        self._health = SplitHealth()
        self._content = hashlib.blake2b(digest_size=16)
        self._hashes = bytearray()

    def __enter__(self) -> SplitWriter:
        """Begin an entry of the cache under a temporary name."""
        with ExitStack() as stack:
            if self._cache is not None:
                # Not `tempfile.mkdtemp`, whose folders are private to this user.
                self._folder = _folder(self._cache, f".{uuid.uuid4().hex}")
                self._folder.parent.mkdir(parents=True, exist_ok=True)
                self._folder.mkdir()
                stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
                self._files = stack.enter_context(ExitStack())
                file = self._files.enter_context(pa.OSFile(str(self._folder / _ROWS), "wb"))
                stream = pa.ipc.new_stream(file, self._options.schema)
                self._stream = self._files.enter_context(stream)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the entry unless it was stored."""
        self._open.close()

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._used == self._options.limit

    def add(self, example: Example) -> None:
        """Add the next row of the source, if the split has it."""
        options, health = self._options, self._health
        if options.within is not None and not options.within.holds(example.document):
            return
        has_document = not is_blank(example.document)
        health.rows += 1
        health.empty_document += not has_document
        health.empty_summary += example.summary is None
        if not options.keep_all and not (has_document and example.summary is not None):
            health.dropped += 1
            return
        self._digest((example.id, example.document, example.summary or ""))
        if example.references:
            # A negative number is no text length, so it marks the end of the row.
            self._content.update((-len(example.references)).to_bytes(8, "little", signed=True))
            self._digest(example.references)
        if has_document:
            self._hashes += b"".join(row_hashes(example.document, example.summary))
        self._used += 1
        self._rows.append(example)
        if len(self._rows) == _BATCH_ROWS:
            self._write()

    def finish(self, key: str) -> Split:
        """Return the split; with a cache, stored under its key."""
        if self._rows:
            self._write()
        hashes = np.frombuffer(bytes(self._hashes), dtype=np.uint64).reshape(-1, 2)
        count_repeats(self._health, hashes)
        fingerprint = self._content.hexdigest()
        if self._cache is not None:
            return self._store(_folder(self._cache, key), hashes, fingerprint)
        table = pa.Table.from_batches(self._table, schema=self._options.schema)
        rows = rows_in_memory(table, fingerprint)
        return Split(rows=rows, health=self._health, hashes=hashes, fingerprint=fingerprint)

    def _digest(self, texts: Iterable[str]) -> None:
        for text in texts:
            data = text.encode()
            self._content.update(len(data).to_bytes(8, "little"))
            self._content.update(data)

    def _write(self) -> None:
        schema = self._options.schema
        columns = [
            pa.array([getattr(row, field.name) for row in self._rows], field.type)
            for field in schema
        ]
        batch = pa.record_batch(columns, schema=schema)
        self._rows.clear()
        if self._cache is None:
            self._table.append(batch)
        else:
            self._stream.write_batch(batch)

    def _store(self, folder: Path, hashes: Hashes, fingerprint: str) -> Split:
        self._files.close()
        np.save(self._folder / _HASHES, hashes)
        counts = {"fingerprint": fingerprint, "health": vars(self._health)}
        (self._folder / _COUNTS).write_text(json.dumps(counts), "utf-8")
        try:
            self._folder.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        return _read(folder)


def _folder(cache: Path, key: str) -> Path:
    return cache / "corpus" / key


def _read(folder: Path) -> Split:
    counts = json.loads((folder / _COUNTS).read_text("utf-8"))
    return Split(
        rows=rows_of_file(folder / _ROWS, counts["fingerprint"]),
        health=SplitHealth(**counts["health"]),
        hashes=np.load(folder / _HASHES),
        fingerprint=counts["fingerprint"],
    )
