"""What is wrong with a corpus that training would not notice: empty, repeated and shared rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
"""Shape (rows, 2): for each row that is used, the hash of its document and that of the row."""


@dataclass(kw_only=True)
class SplitHealth:
    """The counts of one split. A row is counted where it was read: not beyond `max_*_samples`."""

    rows: int = 0
    """Rows read."""
    empty_document: int = 0
    """Of these, rows whose document is missing or blank."""
    empty_summary: int = 0
    """Of these, rows whose summary is missing or blank."""
    no_tokens: int = 0
    """Of these, rows with a document of which the tokenizer leaves nothing."""
    dropped: int = 0
    """Rows left out because of that; in prediction none is."""
    duplicate_rows: int = 0
    """Of the used rows, those that repeat document and summary of an earlier one."""
    duplicate_documents: int = 0
    """Of the used rows, those that repeat the document of an earlier one."""
    truncated_documents: int | None = None
    """Of the used rows, those whose document exceeds `max_source_length`; None until known."""
    chunked_documents: int = 0
    """Of the used rows, those whose document exceeds it and is summarised in chunks instead."""
    truncated_summaries: int | None = None
    """Of the used rows, those whose summary is longer than its limit; None until known."""
    streamed: bool = False
    """Whether the rows are read while training, so that nothing of this is known."""

    @property
    def used(self) -> int:
        """Rows that the run works with."""
        return self.rows - self.dropped


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Documents of one split that stand in an earlier one too."""

    split: str
    """The later split, such as `test`."""
    also_in: str
    """The earlier one, such as `train`."""
    rows: int
    """Rows of the later split whose document is among the earlier one's."""


@dataclass(kw_only=True)
class CorpusHealth:
    """The counts of a corpus."""

    splits: dict[str, SplitHealth] = field(default_factory=dict)
    """Split name to its counts."""
    overlaps: list[Overlap] = field(default_factory=list)
    """One for each pair of splits, those without a shared document included."""

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON, for `run.json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return what is worth showing: a line for each split, and one for each overlap."""
        lines = [_split_line(name, split) for name, split in self.splits.items()]
        for overlap in self.overlaps:
            if overlap.rows:
                share = 100 * overlap.rows / max(1, self.splits[overlap.split].used)
                lines.append(
                    f"documents of {overlap.split} that are also in {overlap.also_in}: "
                    f"{overlap.rows:,} ({share:.1f} %)"
                )
        return lines


def row_hashes(document: str, summary: str | None) -> tuple[bytes, bytes]:
    """Return 8 bytes for the document and 8 for the row, white space around the texts left aside.

    Two different texts among a million share a hash with a probability of 3e-8 (n²/2 over 2⁶⁴).
    """
    document_hash = hashlib.blake2b(document.strip().encode(), digest_size=8)
    row_hash = hashlib.blake2b(document_hash.digest(), digest_size=8)
    row_hash.update((summary or "").strip().encode())
    return document_hash.digest(), row_hash.digest()


def count_repeats(split: SplitHealth, hashes: Hashes) -> None:
    """Fill in how many rows of a split repeat earlier ones."""
    split.duplicate_documents, split.duplicate_rows = (
        len(column) - len(np.unique(column)) for column in hashes.T
    )


def count_overlaps(hashes: Mapping[str, Hashes]) -> list[Overlap]:
    """Return how many documents each split shares with each earlier one."""
    return [
        Overlap(
            split=later,
            also_in=earlier,
            rows=int(np.isin(hashes[later][:, 0], hashes[earlier][:, 0]).sum()),
        )
        for earlier, later in combinations(hashes, 2)
    ]


def _split_line(name: str, split: SplitHealth) -> str:
    if split.streamed:
        return f"{name}: read while training, so its rows are not counted"
    remarks = [
        f"{count:,} {what}"
        for count, what in (
            (split.dropped, "dropped"),
            (split.empty_document, "without a document"),
            (split.no_tokens, "without a token"),
            (split.empty_summary, "without a summary"),
            (split.duplicate_rows, "repeated"),
            (split.duplicate_documents - split.duplicate_rows, "with a repeated document"),
        )
        if count
    ]
    for count, what in (
        (split.truncated_documents, "documents"),
        (split.truncated_summaries, "summaries"),
    ):
        if count:
            remarks.append(f"{100 * count / max(1, split.used):.1f} % of the {what} cut")
    return f"{name}: {split.used:,} rows" + (f" ({', '.join(remarks)})" if remarks else "")
