"""Validation and test rows held out of the training rows, by a hash of each document.

The hash depends on the document alone. So a row is in the same split in every run, whatever the
seed, the order or the format of the file, and equal documents are never in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from summexp.data.columns import Example, is_blank
from summexp.errors import Problem

SUGGESTED = (0.1, 0.2, 0.3, 0.4)
"""Shares to advise, of which a small file may need a larger one."""


@dataclass(frozen=True, kw_only=True)
class HashRange:
    """The rows of one split: those whose document has a hash in [start, end)."""

    split: str
    """`train`, `validation` or `test`."""
    start: float
    """From 0 on."""
    end: float
    """Up to 1."""

    def holds(self, document: str) -> bool:
        """Return whether a row with this document belongs to the split."""
        return self.start <= document_hash(document) < self.end


def hash_ranges(validation_share: float | None, test_share: float | None) -> dict[str, HashRange]:
    """Return the range of each split, by its name; none where nothing is held out.

    The two shares begin at opposite ends, so that changing one leaves the rows of the other.
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
    """Return a number in [0, 1) that is the same for documents that read the same.

    White space and the composition of letters are left aside: they differ between the formats of a
    file. BLAKE2b of the text in UTF-8, 8 bytes of it.
    """
    plain = " ".join(normalize("NFC", document).split())
    hashed = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    # 53 bits, which a float holds exactly, so that the result is below 1.
    return (int.from_bytes(hashed, "big") >> 11) / 2**53


def empty_ranges(examples: Iterable[Example], ranges: Iterable[HashRange]) -> list[HashRange]:
    """Return the ranges in which no row can be used; read only as far as needed to know.

    Args:
        examples: The rows before they are split.
        ranges: Of the splits that the run needs.
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
    """Return the problem of a split that gets no usable row.

    Args:
        read: Returns the rows before they are split.
        empty: The range of the split.
        ranges: Of all splits that the run needs.
        source: What to call the rows.
    """
    shares = [one.split for one in ranges if one.split != "train"]
    key = f"data.{empty.split if empty.split != 'train' else (shares or ['validation'])[0]}_share"
    what = f"no usable row of {source} is left for the {empty.split} split"
    advice = next(suggestions(read, shares), None)
    hint = f"Set {advice}." if advice else f"Name a file for it: data.{empty.split}_file."
    return Problem(key=key, what=what, hint=hint)


def suggestions(read: Callable[[], Iterable[Example]], splits: Sequence[str]) -> Iterator[str]:
    """Yield settings that hold out usable rows for `splits` and leave some to train on."""
    for share in SUGGESTED:
        chosen = {f"{split}_share": share for split in ("validation", "test") if split in splits}
        shares = {"validation_share": None, "test_share": None, **chosen}
        if chosen and not empty_ranges(read(), hash_ranges(**shares).values()):
            yield " ".join(f"data.{key}={value}" for key, value in chosen.items())
