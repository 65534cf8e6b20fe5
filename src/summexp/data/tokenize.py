"""Tokenization of a corpus, cached by content and settings."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import transformers
from datasets import (
    Dataset,
    IterableDataset,
    disable_progress_bars,
    enable_progress_bars,
)
from filelock import FileLock
from transformers import PreTrainedTokenizerBase

from summexp.data.cache import cache_key, with_cache
from summexp.data.columns import is_blank
from summexp.data.config import DataConfig
from summexp.errors import ConfigError

_ROWS_WORTH_A_BAR = 20_000
_COLUMNS = ("input_ids", "labels", "document_cut", "document_empty", "summary_cut")
_FEW_TOKENS = 16
"""Documents with at most this many tokens are checked for being blank after tokenization."""


class RowsToTokens(Protocol):
    """A function that tokenizes batches, with what its result depends on."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return new columns for the rows of a batch."""

    def settings(self) -> list[object]:
        """Return the JSON-serializable values that the new columns depend on beside the rows."""


@dataclass(frozen=True)
class Tokenizing:
    """Settings of the tokenization of a split."""

    tokenizer: PreTrainedTokenizerBase
    """Tokenizer of the model."""
    tokenizer_digest: str
    """Digest of the tokenizer."""
    prefix: str
    """Text before every document."""
    max_source_length: int
    """Maximum tokens of a document, with the prefix and the target prefix."""
    max_target_length: int
    """Maximum tokens of a summary."""
    target_prefix: str | None = None
    """Text between document and summary for a decoder-only model; None for an encoder-decoder."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Tokenize the rows of a batch of `document` and `summary`.

        Returns:
            `input_ids` and `labels`, a list of token IDs per row (without padding; no labels
            without a summary or a document; else with the end token, also of a truncated summary),
            whether document and summary were truncated, and whether the document has no tokens.
        """
        if self.target_prefix is not None:
            return self._decoder_only_rows(batch["document"], batch["summary"], self.target_prefix)
        # Trailing white space may merge with the following token.
        taken = len(self.tokenizer([self.prefix.rstrip()])["input_ids"][0])
        if self.max_source_length <= taken:
            raise self._no_room("model.source_prefix", taken)
        documents = self.tokenizer(
            [self.prefix + text for text in batch["document"]],
            max_length=self.max_source_length,
            truncation=True,
        )
        without_document = self.tokenizer([self.prefix])["input_ids"][0]
        empty = self._empty(batch["document"], documents["input_ids"], without_document)
        texts = _targets(batch["summary"], empty)
        end = self._missing_end()
        room = self.max_target_length - len(end)
        summaries = self.tokenizer(text_target=texts, max_length=max(room, 1), truncation=True)
        return {
            "input_ids": documents["input_ids"],
            "labels": [
                _ended(ids[:room], end) if text else []
                for ids, text in zip(summaries["input_ids"], texts, strict=True)
            ],
            "document_cut": _cut(documents, self.max_source_length),
            "document_empty": empty,
            "summary_cut": _cut(summaries, room),
        }

    def _decoder_only_rows(
        self, texts: Sequence[str], summaries: Sequence[str | None], target_prefix: str
    ) -> dict[str, list[Any]]:
        """Tokenize for a decoder-only model: the prompt, and the summary with the end token.

        Document, target prefix and summary are tokenized separately. So a prompt is the same with
        and without a summary, and the tokens of the target prefix do not depend on the document. A
        document that is too long is truncated before the target prefix, and a summary before the
        end token.
        """
        start, end = self._start(), self._plain([target_prefix])[0]
        room = self.max_source_length - len(start) - len(end)
        if room < 1:
            raise self._no_room("model.target_prefix", len(start) + len(end))
        documents = self._plain([self.prefix + text for text in texts])
        empty = self._empty(texts, documents, self._plain([self.prefix])[0])
        targets = _targets(summaries, empty)
        eos = self.tokenizer.eos_token_id
        labels = self._plain(targets)
        limit = self.max_target_length - 1
        return {
            # The input must not be empty.
            "input_ids": [[*start, *ids[:room], *end] or [eos] for ids in documents],
            "labels": [
                _ended(ids[:limit], [eos]) if text else []
                for ids, text in zip(labels, targets, strict=True)
            ],
            "document_cut": [len(ids) > room for ids in documents],
            "document_empty": empty,
            "summary_cut": [len(ids) > limit for ids in labels],
        }

    def _missing_end(self) -> list[int]:
        """Return the end token if the tokenizer does not add it to a summary, as KoBART's.

        A model that is trained without it writes every summary to the longest length.
        """
        eos = self.tokenizer.eos_token_id
        added = self.tokenizer(text_target="a")["input_ids"][1:]
        return [] if eos is None or eos in added else [eos]

    def _no_room(self, prefix: str, taken: int) -> ConfigError:
        return ConfigError.of(
            key="data.max_source_length",
            what=f"is {self.max_source_length}, and {prefix} takes {taken} tokens, with "
            "special tokens, which leaves none for the document",
            hint=f"Set data.max_source_length={taken + 512} for 512 tokens of a document.",
        )

    def _empty(
        self, texts: Sequence[str], ids: Sequence[Sequence[int]], without: Sequence[int]
    ) -> list[bool]:
        """Return for each document whether it is blank, as text or after tokenization.

        Args:
            texts: the documents.
            ids: token IDs of each document with the prefix.
            without: token IDs of the prefix.
        """
        # Only short documents are decoded: decoding all of them would take too long.
        few = len(without) + _FEW_TOKENS
        return [
            is_blank(text) or (len(tokens) <= few and self._leaves_nothing(text))
            for text, tokens in zip(texts, ids, strict=True)
        ]

    def _leaves_nothing(self, text: str) -> bool:
        # An unknown token decodes to visible text.
        decoded = self.tokenizer.decode(self._plain([text])[0])
        assert isinstance(decoded, str), "one text was given"
        return is_blank(decoded)

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        # verbose=False: it would warn of each text longer than the model's limit.
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return list(encoded["input_ids"])

    def _start(self) -> list[int]:
        """Return the special tokens that the tokenizer adds before a text."""
        plain, full = self._plain(["a"])[0], list(self.tokenizer("a")["input_ids"])
        places = (first for first in range(len(full)) if full[first:][: len(plain)] == plain)
        return full[: next(places, 0)]

    def settings(self) -> list[object]:
        """Return what the tokens depend on beside the rows."""
        return [
            self.tokenizer_digest,
            self.prefix,
            self.max_source_length,
            self.max_target_length,
            self.target_prefix,
            transformers.__version__,
        ]


def _targets(summaries: Sequence[str | None], empty: Sequence[bool]) -> list[str]:
    """Return the summaries to tokenize; "" for a row without a summary or a document."""
    return [
        summary if summary and not is_empty else ""
        for summary, is_empty in zip(summaries, empty, strict=True)
    ]


def _ended(ids: list[int], end: list[int]) -> list[int]:
    """Return the tokens of a summary with `end`, which may be spelt out in the text."""
    return ids if ids[-1:] == end else [*ids, *end]


def _cut(encoded: Any, limit: int) -> list[bool]:
    """Return for each row whether it was truncated."""
    if encoded.is_fast:
        return [bool(encoding.overflowing) for encoding in encoded.encodings]
    return [len(ids) >= limit for ids in encoded["input_ids"]]


def tokenize(
    rows: Dataset,
    content: str,
    tokenizing: RowsToTokens,
    config: DataConfig,
    cache_dir: Path | None,
) -> Dataset:
    """Tokenize a split, or load it from the cache.

    Args:
        rows: rows with `document` and `summary`.
        content: the digest of the rows.
        tokenizing: tokenizes batches; usually a `Tokenizing`.
        config: the `data` group: worker processes, and whether to overwrite the cache.
        cache_dir: cache folder of tokenized splits; None to hold them in memory.

    Returns:
        The rows in the same order, with the columns that `tokenizing` returns.
    """
    options: dict[str, Any] = {
        "batched": True,
        "remove_columns": [name for name in rows.column_names if name not in _COLUMNS],
        "desc": "tokenizing",
    }
    if len(rows) < _ROWS_WORTH_A_BAR:
        disable_progress_bars()
    else:
        enable_progress_bars()
    digest = cache_key(content, *tokenizing.settings())

    def cached(cache: Path) -> Dataset:
        file = cache / "tokenized" / f"{digest}.arrow"
        uses_file = not config.overwrite_cache
        file.parent.mkdir(parents=True, exist_ok=True)
        # A second job waits for the first, and then reads its file. An existing file is read
        # without a lock, which would need a writable cache.
        ready = uses_file and file.exists()
        with nullcontext() if ready else FileLock(file.with_suffix(".lock")):
            return rows.map(
                tokenizing,
                cache_file_name=str(file),
                new_fingerprint=digest,
                load_from_cache_file=uses_file,
                num_proc=config.preprocessing_num_workers,
                **options,
            )

    def uncached() -> Dataset:
        return rows.map(tokenizing, keep_in_memory=True, new_fingerprint=content[:32], **options)

    return with_cache(cache_dir, cached, uncached)


def row_lengths(tokens: Dataset, column: str = "input_ids") -> npt.NDArray[np.int64]:
    """Return (rows,) the number of tokens of each row's `column`."""
    if not len(tokens):
        return np.zeros(0, np.int64)
    lengths: npt.NDArray[np.int64] = pc.list_value_length(arrow_column(tokens, column)).to_numpy()
    return lengths.astype(np.int64)


def count_tokens(tokens: Dataset, column: str, token: int | None) -> tuple[int, int]:
    """Return how many tokens a `column` has, and how many of them are `token`."""
    total = int(row_lengths(tokens, column).sum())
    if token is None or not total:
        return total, 0
    ids = pc.list_flatten(arrow_column(tokens, column))
    return total, pc.sum(pc.equal(ids, token)).as_py()


def flagged_rows(tokens: Dataset, column: str) -> list[int]:
    """Return the numbers of the rows whose `column` is true."""
    flags = pc.indices_nonzero(pc.cast(arrow_column(tokens, column), "bool"))
    return list(flags.to_pylist())


def arrow_column(rows: Dataset, column: str) -> pa.ChunkedArray:
    """Return a column as it is in memory or on disk, without making Python objects of it."""
    return rows.select_columns(column).with_format("arrow")[:][column]


def tokenize_stream(rows: IterableDataset, tokenizing: Tokenizing) -> IterableDataset:
    """Tokenize a stream lazily, without rows whose document has no tokens."""
    tokens = rows.map(tokenizing, batched=True, remove_columns=["id", "document", "summary"])
    return tokens.filter(_has_document).select_columns(["input_ids", "labels"])


def _has_document(row: dict[str, Any]) -> bool:
    return not row["document_empty"]
