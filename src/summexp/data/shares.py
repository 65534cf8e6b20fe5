"""Validation and test rows held out of the training rows, by a hash of each document.

The hash depends on the document only. A row is in the same split in every run, independent of the
seed, the order and the format of the file, and equal documents are never in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from summexp.data.columns import Example, is_blank
from summexp.errors import Problem

SUGGESTED = (0.1, 0.2, 0.3, 0.4)
"""Fractions to suggest; a small file may need a larger one."""


@dataclass(frozen=True, kw_only=True)
class HashRange:
    """The rows of one split: those whose document's hash is in [start, end)."""

    split: str
    """`train`, `validation` or `test`."""
    start: float
    """Lower bound, at least 0."""
    end: float
    """Upper bound, at most 1."""

    def holds(self, document: str) -> bool:
        """Return whether a row with this document belongs to the split."""
        return self.start <= document_hash(document) < self.end


def hash_ranges(validation_share: float | None, test_share: float | None) -> dict[str, HashRange]:
    """Return the range of each split by name; empty if nothing is held out.

    The two fractions start at opposite ends, so that changing one does not change the other's rows.
    """
    validation_from, test_to = 1 - (validation_share or 0), test_share or 0
    ranges = {
        "train": HashRange(split="train", start=test_to, end=validation_from),
        "validation": HashRange(split="validation", start=validation_from, end=1),
        "test": HashRange(split="test", start=0, end=test_to),
    }
    if validation_share is None and test_share is None:
        return {}
    return {name: one for name, one in ranges.items() if one.start < one.end}


def document_hash(document: str) -> float:
    """Return a hash in [0, 1) of a document: BLAKE2b of its UTF-8 text, 8 bytes.

    White space and Unicode composition are normalized, since they differ between file formats.
    """
    plain = " ".join(normalize("NFC", document).split())
    hashed = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    # 53 bits are exact in a float, so that the result is below 1.
    return (int.from_bytes(hashed, "big") >> 11) / 2**53


def empty_ranges(examples: Iterable[Example], ranges: Iterable[HashRange]) -> list[HashRange]:
    """Return the ranges without a usable row; reads only as many rows as needed.

    Args:
        examples: the rows before they are split.
        ranges: ranges of the splits that the run needs.
    """
    empty = list(ranges)
    for example in examples:
        if not empty:
            break
        if not is_blank(example.document):
            empty = [one for one in empty if not _is_usable(example, one)]
    return empty


def _is_usable(example: Example, within: HashRange) -> bool:
    has_summary = example.summary is not None or within.split == "test"
    return has_summary and within.holds(example.document)


def share_problem(
    read: Callable[[], Iterable[Example]],
    empty: HashRange,
    ranges: Sequence[HashRange],
    source: str,
) -> Problem:
    """Return the problem of a split without a usable row.

    Args:
        read: returns the rows before they are split.
        empty: the range of the split.
        ranges: ranges of all splits that the run needs.
        source: name of the rows in the message.
    """
    shares = [one.split for one in ranges if one.split != "train"]
    key = f"data.{empty.split if empty.split != 'train' else (shares or ['validation'])[0]}_share"
    what = f"{source} has no usable row for the {empty.split} split"
    advice = next(suggestions(read, shares), None)
    hint = f"Set {advice}." if advice else f"Set data.{empty.split}_file to a file."
    return Problem(key=key, what=what, hint=hint)


def suggestions(read: Callable[[], Iterable[Example]], splits: Sequence[str]) -> Iterator[str]:
    """Yield settings that give `splits` and the training usable rows."""
    for share in SUGGESTED:
        chosen = {f"{split}_share": share for split in ("validation", "test") if split in splits}
        shares = {"validation_share": None, "test_share": None, **chosen}
        if chosen and not empty_ranges(read(), hash_ranges(**shares).values()):
            yield " ".join(f"data.{key}={value}" for key, value in chosen.items())
