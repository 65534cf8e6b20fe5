"""Health of a corpus: counts of empty, duplicate and shared rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Hashes: TypeAlias = npt.NDArray[np.uint64]
"""Shape (rows, 2): the hash of the document and of the row, for each used row."""


@dataclass(kw_only=True)
class SplitHealth:
    """Counts of one split, over the rows that were read (up to `max_*_samples`)."""

    rows: int = 0
    """Rows read."""
    empty_document: int = 0
    """Of these, rows whose document is missing or blank."""
    empty_summary: int = 0
    """Of these, rows whose summary is missing or blank."""
    no_tokens: int = 0
    """Of these, rows whose document has no tokens."""
    dropped: int = 0
    """Rows dropped for these reasons; none in prediction."""
    duplicate_rows: int = 0
    """Used rows that repeat document and summary of an earlier row."""
    duplicate_documents: int = 0
    """Used rows that repeat the document of an earlier row."""
    truncated_documents: int | None = None
    """Used rows whose document exceeds `max_source_length`; None until known."""
    chunked_documents: int = 0
    """Used rows whose document exceeds it and is summarised in chunks."""
    truncated_summaries: int | None = None
    """Used rows whose summary exceeds its limit; None until known."""
    document_tokens: int | None = None
    """Tokens of the documents, as far as they are not cut; None until known."""
    unknown_document_tokens: int | None = None
    """Of these, unknown to the tokenizer."""
    summary_tokens: int | None = None
    """Tokens of the summaries, likewise."""
    unknown_summary_tokens: int | None = None
    """Of these, unknown to the tokenizer."""
    streamed: bool = False
    """Whether the rows are streamed, so that the counts are unknown."""

    @property
    def used(self) -> int:
        """Number of used rows."""
        return self.rows - self.dropped

    def unknown(self) -> dict[str, float]:
        """Return the percentage of unknown tokens in `documents` and `summaries`, from 0.05 on."""
        counts = {
            "documents": (self.unknown_document_tokens, self.document_tokens),
            "summaries": (self.unknown_summary_tokens, self.summary_tokens),
        }
        shares = {
            what: 100 * (count or 0) / (total or 1) for what, (count, total) in counts.items()
        }
        return {what: share for what, share in shares.items() if share >= 0.05}


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Documents of one split that are also in an earlier split."""

    split: str
    """The later split, such as `test`."""
    also_in: str
    """The earlier one, such as `train`."""
    rows: int
    """Rows of the later split whose document is in the earlier one."""


@dataclass(kw_only=True)
class CorpusHealth:
    """Counts of a corpus."""

    splits: dict[str, SplitHealth] = field(default_factory=dict)
    """Split name to its counts."""
    overlaps: list[Overlap] = field(default_factory=list)
    """One for each pair of splits, those without a shared document included."""

    def to_json(self) -> dict[str, Any]:
        """Return the counts as plain JSON, for `run.json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Format the counts: a line for each split, and one for each overlap."""
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
    """Return the hashes of document and row, 8 bytes each, ignoring white space around the texts.

    Two different texts among a million share a hash with a probability of 3e-8 (n²/2 over 2⁶⁴).
    """
    document_hash = hashlib.blake2b(document.strip().encode(), digest_size=8)
    row_hash = hashlib.blake2b(document_hash.digest(), digest_size=8)
    row_hash.update((summary or "").strip().encode())
    return document_hash.digest(), row_hash.digest()


def count_repeats(split: SplitHealth, hashes: Hashes) -> None:
    """Set the numbers of duplicates of a split."""
    split.duplicate_documents, split.duplicate_rows = (
        len(column) - len(np.unique(column)) for column in hashes.T
    )


def count_overlaps(hashes: Mapping[str, Hashes]) -> list[Overlap]:
    """Return the overlap of each split with each earlier one."""
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
        return f"{name}: streamed, rows are not counted"
    remarks = [
        f"{count:,} {what}"
        for count, what in (
            (split.dropped, "dropped"),
            (split.empty_document, "without a document"),
            (split.no_tokens, "without a token"),
            (split.empty_summary, "without a summary"),
            (split.duplicate_rows, "duplicate"),
            (split.duplicate_documents - split.duplicate_rows, "with a duplicate document"),
        )
        if count
    ]
    for count, what in (
        (split.truncated_documents, "documents"),
        (split.truncated_summaries, "summaries"),
    ):
        if count:
            remarks.append(f"{100 * count / max(1, split.used):.1f} % of the {what} truncated")
    remarks += (
        f"{share:.1f} % of the tokens of the {what} unknown"
        for what, share in split.unknown().items()
    )
    return f"{name}: {split.used:,} rows" + (f" ({', '.join(remarks)})" if remarks else "")
