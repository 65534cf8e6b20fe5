"""Chunker: splits long documents into overlapping chunks, for prediction."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import regex
from datasets import Dataset

from summexp.data.tokenize import Tokenizing
from summexp.errors import ConfigError

MINIMUM_BUDGET = 16
"""Minimum document tokens of a chunk; a single character may take several."""

_SPACE = regex.compile(r"\s*")
_WORD = regex.compile(r"\S+\s*")
_CHARACTER = regex.compile(r"\X")
"""A grapheme cluster: a letter with its accents, a Thai consonant with its vowel sign."""
_LONG_WORD = 8
"""Words with more tokens are counted character by character, such as a line of Chinese."""

_TOKEN, _IN_WORD, _AT_WORD, _AT_SENTENCE = range(4)


class _Mark(NamedTuple):
    """A position at which a text may be split."""

    position: int
    """Number of characters before it."""
    tokens: int
    """Number of tokens before it, counted over the whole text."""
    kind: int
    """Rank of the position: the start of a token, a character, a word or a sentence."""


class Chunker:
    """Splits texts into chunks of similar length, at sentence boundaries if possible.

    Neighbouring chunks share up to `overlap` tokens, and together they cover the whole text.
    """

    def __init__(
        self,
        tokenizing: Tokenizing,
        sentences: Callable[[str], list[str]],
        *,
        overlap: int | None,
        label: str,
    ) -> None:
        """Create the chunker of a model.

        Args:
            tokenizing: tokenizes a chunk, with prefix and special tokens.
            sentences: returns the sentences of a text in order, stripped.
            overlap: maximum tokens shared by neighbouring chunks; None for an eighth of the budget.
            label: name and version of `sentences`, for the cache key.

        Raises:
            ConfigError: the token budget of a chunk is too small.
        """
        self._tokenizing = tokenizing
        self._sentences = sentences
        self._label = label
        ids, _ = self._encoded("")
        self.budget = tokenizing.max_source_length - len(ids)
        """Token budget of a chunk: document tokens, without prefix and special tokens."""
        self.overlap = self.budget // 8 if overlap is None else overlap
        _check(self.budget, self.overlap, tokenizing.max_source_length)

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return the `chunks` of each `document`, each a list of token IDs."""
        return {"chunks": [self.chunks(text) for text in batch["document"]]}

    def settings(self) -> list[object]:
        """Return what the chunks depend on beside the rows."""
        return ["chunks", *self._tokenizing.settings(), self.overlap, self._label]

    def chunks(self, text: str) -> list[list[int]]:
        """Return the token IDs of each chunk, without blank chunks."""
        found = [ids for start, end, ids in self.spans(text) if text[start:end].strip()]
        return found or [self._encoded("")[0]]

    def merge(self, summaries: Sequence[str]) -> list[list[int]]:
        """Return the chunks of the joined summaries, fewer than there are summaries.

        If the joined text is too long for that, each summary is truncated to an equal share of one
        chunk. So the rounds terminate, and the end of the document is still represented.
        """
        chunks = self.chunks(" ".join(filter(None, summaries)))
        if len(chunks) < len(summaries):
            return chunks
        share = max(1, self.budget // len(summaries))
        return [self._encoded(" ".join(self._shortened(one, share) for one in summaries))[0]]

    def spans(self, text: str) -> Iterator[tuple[int, int, list[int]]]:
        """Yield (start, end, token IDs) of each chunk, with positions in characters.

        A chunk starts at or before the end of the previous one; the last one ends with the text.
        """
        marks = self._marks(text)
        first, last = 0, -1
        while last < len(marks) - 1:
            if last >= 0:
                first = self._next_start(marks, first, last)
            last, ids = self._chunk(text, marks, first)
            yield marks[first].position, marks[last].position, ids

    def _chunk(self, text: str, marks: Sequence[_Mark], first: int) -> tuple[int, list[int]]:
        """Return the mark at which the chunk that starts at `first` ends, and its token IDs."""
        room = self.budget
        while True:
            last = self._end(marks, first, room)
            ids, fits = self._encoded(text[marks[first].position : marks[last].position].strip())
            if fits or last == first + 1:
                return last, ids
            # At its ends, a chunk may have other tokens than the same characters in the text.
            held = marks[last].tokens - marks[first].tokens
            room = min(room, held) - max(1, room // 32)

    def _end(self, marks: Sequence[_Mark], first: int, room: int) -> int:
        """Return the best mark to end a chunk of up to `room` tokens that starts at `first`."""
        here = marks[first].tokens
        left = marks[-1].tokens - here
        if left <= room:
            return len(marks) - 1
        # The minimum number of chunks for the rest, of equal length.
        overlap = min(self.overlap, room // 2)
        count = -(-(left - overlap) // max(1, room - overlap))
        aim = here + (left - overlap) / max(1, count) + overlap
        within = range(first + 1, bisect_right(marks, here + room, key=_tokens))
        for kind, least in (
            (_AT_SENTENCE, max(overlap, (aim - here) / 2)),
            (_AT_WORD, max(overlap, (aim - here) / 2)),
            (_IN_WORD, overlap),
            (_TOKEN, 0),
        ):
            found = [i for i in within if marks[i].kind >= kind and marks[i].tokens > here + least]
            if found:
                return min(found, key=lambda i: abs(marks[i].tokens - aim))
        return first + 1

    def _next_start(self, marks: Sequence[_Mark], first: int, last: int) -> int:
        """Return the start of the chunk after the one from `first` to `last`."""
        earliest = bisect_left(marks, marks[last].tokens - self.overlap, key=_tokens)
        shared = range(max(first + 1, earliest), last)
        for kind in (_AT_SENTENCE, _AT_WORD, _IN_WORD):
            found = next((i for i in shared if marks[i].kind >= kind), None)
            if found is not None:
                return found
        return last

    def _marks(self, text: str) -> list[_Mark]:
        """Return every position at which `text` may be split, with its start and end."""
        starts, total = self._token_starts(text)
        sentences = set(_found(self._sentences(text), text))
        characters = {match.start() for match in _CHARACTER.finditer(text)}
        counted = dict(reversed(starts))
        marks = [_Mark(0, 0, _AT_SENTENCE)]
        for position in sorted((counted.keys() | sentences) - {0}):
            tokens = counted.get(position, marks[-1].tokens)
            if position in sentences:
                kind = _AT_SENTENCE
            elif text[position - 1].isspace():
                kind = _AT_WORD
            else:
                kind = _IN_WORD if position in characters else _TOKEN
            marks.append(_Mark(position, tokens, kind))
        return [*marks, _Mark(len(text), total, _AT_SENTENCE)]

    def _token_starts(self, text: str) -> tuple[list[tuple[int, int]], int]:
        """Return (position, tokens before it) of each token, and the number of tokens.

        White space belongs to the token before it and counts as one token, since it is stripped
        at the ends of a chunk. Several tokens may start at one character.
        """
        tokenizer = self._tokenizing.tokenizer
        options = {"add_special_tokens": False, "verbose": False}
        if tokenizer.is_fast:
            offsets = tokenizer(text, return_offsets_mapping=True, **options)["offset_mapping"]
            blank = [not text[start:end].strip() for start, end in offsets]
            places = [
                _past_space(text, start)
                for (start, _), here, before in zip(offsets, blank, [False, *blank], strict=False)
                if not (here and before)
            ]
            starts = [(one, n) for n, one in enumerate(places) if one < len(text)]
            return starts, len(places)
        # Slow tokenizers give no offsets: count the tokens of words, and scale to the total.
        words = list(self._word_counts(text))
        total = len(tokenizer(text, **options)["input_ids"])
        scale = total / max(1, sum(count for _, count in words))
        starts = []
        before = 0
        for position, count in words:
            starts.append((position, round(before * scale)))
            before += count
        return starts, total

    def _word_counts(self, text: str) -> Iterator[tuple[int, int]]:
        def count(word: str) -> int:
            return len(self._tokenizing.tokenizer(word, add_special_tokens=False)["input_ids"])

        for word in _WORD.finditer(text):
            tokens = count(word[0])
            if tokens <= _LONG_WORD:
                yield word.start(), tokens
            else:
                for one in _CHARACTER.finditer(text, word.start(), word.end()):
                    yield one.start(), count(one[0])

    def _shortened(self, text: str, tokens: int) -> str:
        """Return the first `tokens` tokens of `text`."""
        marks = self._marks(text)
        return text[: marks[bisect_right(marks, tokens, key=_tokens) - 1].position].strip()

    def _encoded(self, text: str) -> tuple[list[int], bool]:
        """Return the token IDs of a chunk, and whether it was not truncated."""
        rows = self._tokenizing({"document": [text], "summary": [None]})
        return rows["input_ids"][0], not rows["document_cut"][0]


@dataclass(frozen=True)
class LongDocuments:
    """The documents of a set that are summarised in chunks."""

    counts: dict[int, int]
    """Row number to its number of chunks, in the order of the rows."""
    chunks: Dataset
    """`input_ids` of each chunk, row by row."""
    chunker: Chunker
    """Chunker of the documents, also used for the joined summaries."""

    @classmethod
    def of(cls, rows: Sequence[int], cut: Dataset, chunker: Chunker) -> LongDocuments:
        """Build it from the output of `chunker` for the documents with the numbers `rows`."""
        column = cut.with_format("arrow")[:]["chunks"]
        counts = dict(zip(rows, pc.list_value_length(column).to_pylist(), strict=True))
        chunks = Dataset(pa.table({"input_ids": pc.list_flatten(column)}))
        return cls(counts, chunks, chunker)

    def remark(self) -> str:
        """Format the number of chunks of a document: `2`, or `2 to 9`."""
        fewest, most = min(self.counts.values()), max(self.counts.values())
        return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def _check(room: int, overlap: int, length: int) -> None:
    if room < MINIMUM_BUDGET:
        what = (
            f"is {length}, which leaves {max(0, room)} document tokens per chunk after prefix and "
            f"special tokens; data.long_documents=chunk needs at least {MINIMUM_BUDGET}"
        )
        hint = (
            f"Set it to at least {length + MINIMUM_BUDGET - room}, or shorten model.source_prefix."
        )
        raise ConfigError.of(key="data.max_source_length", what=what, hint=hint)
    if 2 * overlap > room:
        what = f"is {overlap}, more than half of the {room} document tokens of a chunk"
        hint = f"Set it to at most {room // 2}, or remove it."
        raise ConfigError.of(key="data.chunk_overlap", what=what, hint=hint)


def _found(sentences: Sequence[str], text: str) -> Iterator[int]:
    """Yield the start of each sentence in `text`."""
    end = 0
    for sentence in sentences:
        start = text.find(sentence, end)
        if start >= 0:
            end = start + len(sentence)
            yield start


def _past_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _tokens(mark: _Mark) -> int:
    return mark.tokens
