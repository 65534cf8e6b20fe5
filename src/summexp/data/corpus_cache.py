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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from summexp.data.columns import Example, is_blank
from summexp.data.health import Hashes, SplitHealth, count_repeats, row_hashes
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


def stored_split(
    examples: Iterable[Example],
    folder: Path,
    *,
    keep_all: bool,
    limit: int | None,
    schema: pa.Schema = SCHEMA,
    verify: Callable[[], None] = lambda: None,
) -> Split:
    """Return the split stored in `folder`, which is created from `examples` if absent.

    Args:
        examples: all rows of the source; not read if the folder exists.
        folder: its name is a `cache_key` of the source and of the two options below.
        keep_all: whether to keep rows without a document or a summary (for prediction).
        limit: maximum number of used rows.
        schema: `SCHEMA`, or `SCHEMA_OF_SEVERAL`.
        verify: called after reading; raises if the source has changed.
    """
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Not `tempfile.mkdtemp`, whose folders are private to this user.
        unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
        unfinished.mkdir()
        try:
            _write(_Selection(examples, schema, keep_all=keep_all, limit=limit), unfinished)
            verify()
            try:
                unfinished.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return _read(folder)


def split_in_memory(
    examples: Iterable[Example],
    *,
    keep_all: bool,
    limit: int | None,
    schema: pa.Schema = SCHEMA,
    verify: Callable[[], None] = lambda: None,
) -> Split:
    """Return a split created from `examples` in memory; see `stored_split`."""
    selection = _Selection(examples, schema, keep_all=keep_all, limit=limit)
    table = pa.Table.from_batches(list(selection.batches()), schema=schema)
    verify()
    fingerprint = selection.fingerprint
    health = selection.health
    hashes = selection.hashes()
    count_repeats(health, hashes)
    rows = rows_in_memory(table, fingerprint)
    return Split(rows=rows, health=health, hashes=hashes, fingerprint=fingerprint)


class _Selection:
    """Selects the used rows of a source, and counts them."""

    def __init__(
        self,
        examples: Iterable[Example],
        schema: pa.Schema,
        *,
        keep_all: bool,
        limit: int | None,
    ) -> None:
        self.schema = schema
        self.health = SplitHealth()
        self._examples = examples
        self._keep_all = keep_all
        self._limit = limit
        self._content = hashlib.blake2b(digest_size=16)
        self._hashes = bytearray()

    @property
    def fingerprint(self) -> str:
        return self._content.hexdigest()

    def hashes(self) -> Hashes:
        return np.frombuffer(bytes(self._hashes), dtype=np.uint64).reshape(-1, 2)

    def batches(self) -> Iterator[pa.RecordBatch]:
        used = islice(self._used(), self._limit)
        while batch := list(islice(used, _BATCH_ROWS)):
            columns: list[Any] = [
                pa.array([getattr(example, field.name) for example in batch], field.type)
                for field in self.schema
            ]
            yield pa.record_batch(columns, schema=self.schema)

    def _used(self) -> Iterator[Example]:
        for example in self._examples:
            has_document = not is_blank(example.document)
            self.health.rows += 1
            self.health.empty_document += not has_document
            self.health.empty_summary += example.summary is None
            if not self._keep_all and not (has_document and example.summary is not None):
                self.health.dropped += 1
                continue
            self._digest((example.id, example.document, example.summary or ""))
            if example.references:
                # A negative number is no text length, so it marks the end of the row.
                self._content.update((-len(example.references)).to_bytes(8, "little", signed=True))
                self._digest(example.references)
            if has_document:
                self._hashes += b"".join(row_hashes(example.document, example.summary))
            yield example

    def _digest(self, texts: Iterable[str]) -> None:
        for text in texts:
            data = text.encode()
            self._content.update(len(data).to_bytes(8, "little"))
            self._content.update(data)


def _write(selection: _Selection, folder: Path) -> None:
    schema = selection.schema
    with pa.OSFile(str(folder / _ROWS), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in selection.batches():
            writer.write_batch(batch)
    hashes = selection.hashes()
    count_repeats(selection.health, hashes)
    np.save(folder / _HASHES, hashes)
    counts = {"fingerprint": selection.fingerprint, "health": vars(selection.health)}
    (folder / _COUNTS).write_text(json.dumps(counts), "utf-8")


def _read(folder: Path) -> Split:
    counts = json.loads((folder / _COUNTS).read_text("utf-8"))
    return Split(
        rows=rows_of_file(folder / _ROWS, counts["fingerprint"]),
        health=SplitHealth(**counts["health"]),
        hashes=np.load(folder / _HASHES),
        fingerprint=counts["fingerprint"],
    )
