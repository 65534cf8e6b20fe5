"""From text to tokens, cached by content and shared by every job that needs the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
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
from summexp.errors import ConfigError, Problem

_ROWS_WORTH_A_BAR = 20_000
_COLUMNS = ("input_ids", "labels", "document_cut", "document_empty", "summary_cut")
_FEW_TOKENS = 16
"""Tokens up to which a document may be nothing but white space once it is tokenized."""


class RowsToTokens(Protocol):
    """What makes tokens of the rows of a batch, and what its results are kept under."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Return new columns for the rows of a batch."""

    def digest(self, content: str) -> str:
        """Return the digest of the settings on rows with the digest `content`."""


@dataclass(frozen=True)
class Tokenizing:
    """All that decides how a split is tokenized."""

    tokenizer: PreTrainedTokenizerBase
    """Cuts text into tokens."""
    tokenizer_digest: str
    """Digest of its content."""
    prefix: str
    """Put before every document."""
    max_source_length: int
    """Longest document in tokens, the prefix (and the target prefix) included."""
    max_target_length: int
    """Longest summary in tokens."""
    target_prefix: str | None = None
    """Put after every document for a decoder-only model, which then goes on with the summary; None
    for an encoder-decoder."""

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Tokenize the rows of a batch of `document` and `summary`.

        Returns:
            `input_ids` and `labels`, each a list of token ids a row (no padding; no labels where
            there is no summary, or no document), whether the document and the summary were cut, and
            whether nothing is left of the document.
        """
        if self.target_prefix is not None:
            return self._parts_of_one_text(batch["document"], batch["summary"], self.target_prefix)
        # The white space at its end may become one token with what follows.
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
        summaries = self.tokenizer(
            text_target=texts,
            max_length=self.max_target_length,
            truncation=True,
        )
        return {
            "input_ids": documents["input_ids"],
            "labels": [
                ids if text else [] for ids, text in zip(summaries["input_ids"], texts, strict=True)
            ],
            "document_cut": _cut(documents, self.max_source_length),
            "document_empty": empty,
            "summary_cut": _cut(summaries, self.max_target_length),
        }

    def _parts_of_one_text(
        self, texts: Sequence[str], summaries: Sequence[str | None], target_prefix: str
    ) -> dict[str, list[Any]]:
        """Tokenize for a decoder-only model: the prompt, and the summary with the text's end.

        Document, target prefix and summary are tokenized each by itself. So a prompt is the same
        with or without a summary, and the target prefix always has the same tokens, whatever the
        document ends with. A document that is too long loses its end, and never the target prefix.
        A summary that is cut has no end either, which would teach to stop in mid-sentence.
        """
        start, end = self._start(), self._plain([target_prefix])[0]
        room = self.max_source_length - len(start) - len(end)
        if room < 1:
            raise self._no_room("model.target_prefix", len(start) + len(end))
        documents = self._plain([self.prefix + text for text in texts])
        empty = self._empty(texts, documents, self._plain([self.prefix])[0])
        targets = _targets(summaries, empty)
        eos = self.tokenizer.eos_token_id
        labels = [[*ids, eos] for ids in self._plain(targets)]
        return {
            # A text has to begin with something.
            "input_ids": [[*start, *ids[:room], *end] or [eos] for ids in documents],
            "labels": [
                ids[: self.max_target_length] if text else []
                for ids, text in zip(labels, targets, strict=True)
            ],
            "document_cut": [len(ids) > room for ids in documents],
            "document_empty": empty,
            "summary_cut": [len(ids) > self.max_target_length for ids in labels],
        }

    def _no_room(self, prefix: str, taken: int) -> ConfigError:
        return ConfigError(
            Problem(
                key="data.max_source_length",
                what=f"is {self.max_source_length}, and {prefix} alone takes {taken} tokens, "
                "special tokens included, so that nothing is left for the document",
                hint=f"With data.max_source_length={taken + 512} a document has 512 tokens.",
            )
        )

    def _empty(
        self, texts: Sequence[str], ids: Sequence[Sequence[int]], without: Sequence[int]
    ) -> list[bool]:
        """Return of each document whether it is blank, in itself or in its tokens.

        Args:
            texts: the documents.
            ids: of each with the prefix.
            without: of the prefix alone.
        """
        # Whatever has more tokens is not decoded, which would take as long as all the rest.
        few = len(without) + _FEW_TOKENS
        return [
            is_blank(text) or (len(tokens) <= few and self._leaves_nothing(text))
            for text, tokens in zip(texts, ids, strict=True)
        ]

    def _leaves_nothing(self, text: str) -> bool:
        # An unknown token is written out, and so is no blank.
        return is_blank(self.tokenizer.decode(self._plain([text])[0]))

    def _plain(self, texts: Sequence[str]) -> list[list[int]]:
        # Not silenced, it would remark on each text that is longer than the model takes.
        encoded = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)
        return list(encoded["input_ids"])

    def _start(self) -> list[int]:
        """Return the tokens that the tokenizer puts before a text, and none that it puts after."""
        plain, whole = self._plain(["a"])[0], list(self.tokenizer("a")["input_ids"])
        places = (first for first in range(len(whole)) if whole[first:][: len(plain)] == plain)
        return whole[: next(places, 0)]

    def digest(self, content: str) -> str:
        """Return the digest of these settings on rows with the digest `content`."""
        settings = [
            content,
            self.tokenizer_digest,
            self.prefix,
            self.max_source_length,
            self.max_target_length,
            self.target_prefix,
            transformers.__version__,
        ]
        return hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()


def _targets(summaries: Sequence[str | None], empty: Sequence[bool]) -> list[str]:
    """Return the texts to learn; without a document there is nothing to learn or to score."""
    return [
        summary if summary and not is_empty else ""
        for summary, is_empty in zip(summaries, empty, strict=True)
    ]


def _cut(encoded: Any, limit: int) -> list[bool]:
    """Tell of each row whether something was cut off."""
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
    """Tokenize a split, or take it from the cache.

    Args:
        rows: with `document` and `summary`.
        content: the digest of their content.
        tokenizing: the tokenizer and its settings, most often a `Tokenizing`.
        config: the `data` group: worker processes, and whether to tokenize again.
        cache_dir: where tokenized splits are kept; None to keep them in memory.

    Returns:
        The rows in the same order, with the columns that `tokenizing` makes of them.
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
    digest = cache_key(tokenizing.digest(content))

    def cached(cache: Path) -> Dataset:
        file = cache / "tokenized" / f"{digest}.arrow"
        uses_file = not config.overwrite_cache
        file.parent.mkdir(parents=True, exist_ok=True)
        # A second job that needs the same waits for the first, and then reads what it wrote. What
        # is there is read without a lock, for which a cache would have to be writable.
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
    """Return (rows,) the tokens of each row's document, or of its `labels`."""
    table = tokens.select_columns(column).with_format("arrow")[:]
    lengths: npt.NDArray[np.int64] = pc.list_value_length(table[column]).to_numpy()
    return lengths.astype(np.int64)


def tokenize_stream(rows: IterableDataset, tokenizing: Tokenizing) -> IterableDataset:
    """Tokenize the rows of a stream as they come, without those whose document has no tokens."""
    tokens = rows.map(tokenizing, batched=True, remove_columns=["id", "document", "summary"])
    return tokens.filter(_has_document).select_columns(["input_ids", "labels"])


def _has_document(row: dict[str, Any]) -> bool:
    return not row["document_empty"]
