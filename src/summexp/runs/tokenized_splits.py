"""Tokenized splits of a run: training rows, and the sets to evaluate and predict.

Tested in tests/runs/test_preparation.py.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import transformers
from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from summexp.data.chunking import Chunker, LongDocuments
from summexp.data.columns import is_blank
from summexp.data.config import DataConfig
from summexp.data.corpus import Corpus
from summexp.data.health import SplitHealth
from summexp.data.tokenize import (
    Tokenizing,
    count_tokens,
    flagged_rows,
    row_lengths,
    tokenize,
    tokenize_stream,
)
from summexp.distributed.devices import select_device
from summexp.distributed.ranks import is_main
from summexp.evaluation.evaluate import EvaluationSet
from summexp.metrics.language import choose_language
from summexp.metrics.scorer import SummaryScorer
from summexp.metrics.sentences import SentenceSplitter
from summexp.modeling.tokenizers import drops_bytes, tokenizer_digest, unknown_token

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_SHUFFLED_ROWS = 10_000
"""Buffer size of a stream's shuffle, in rows."""
_WORTH_A_HINT = 0.1
"""Fraction of truncated documents above which prediction suggests chunks."""
_WORTH_A_WARNING = 1.0
"""Percentage of unknown tokens from which a split is warned of."""


class Splits:
    """The splits of a corpus, tokenized with one tokenizer."""

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        tokenizer: PreTrainedTokenizerBase,
        target_prefix: str | None,
        cache: Path | None,
    ) -> None:
        """Tokenize `corpus`, and count truncated rows in its health.

        Args:
            config: the config of the run.
            corpus: the rows of the run.
            tokenizer: the tokenizer of the model.
            target_prefix: text between document and summary; None for an encoder-decoder.
            cache: the cache folder; None for no cache.
        """
        self._config = config
        self._corpus = corpus
        self._cache = cache
        self._tokenizing = Tokenizing(
            tokenizer=tokenizer,
            tokenizer_digest=tokenizer_digest(tokenizer),
            prefix=config.model.source_prefix or "",
            target_prefix=target_prefix,
            max_source_length=config.data.max_source_length,
            max_target_length=config.data.max_target_length,
        )
        self.train = self._train()
        self.validation = [self._validation(name) for name in corpus.validation]
        self.test = None if corpus.test is None else self._test(corpus.test)

    def sets(self) -> list[EvaluationSet]:
        """Return all sets to evaluate or predict."""
        return [*self.validation, *([self.test] if self.test else [])]

    def log_skipped(self) -> None:
        """Log the number of skipped test rows, with the reasons."""
        if self.test is None or not self.test.skipped:
            return
        total, skipped = len(self.test.rows), self.test.skipped
        reasons = ", ".join(
            f"{reason}: {count:,}" for reason, count in Counter(skipped.values()).items()
        )
        log.warning(
            "test: skipping %s of %s rows (%s); their predictions are empty and not scored",
            *(f"{len(skipped):,}", f"{total:,}", reasons),
        )

    def log_long_documents(self) -> None:
        """Log the number of test documents above `data.max_source_length`, if there are many."""
        if self.test is None:
            return
        config, health, long = self._config.data, self._corpus.health.splits["test"], self.test.long
        longer = health.chunked_documents or health.truncated_documents or 0
        if long is not None:
            what = f"summarised in chunks ({long.remark()})"
        elif longer > _WORTH_A_HINT * health.used:
            what = "truncated; set data.long_documents=chunk to summarise the full text"
        else:
            return
        log.info(
            "test: %s of %s documents are longer than %s tokens: %s",
            *(f"{longer:,}", f"{health.used:,}", f"{config.max_source_length:,}", what),
        )

    def longest_source(self) -> int:
        """Return the number of tokens of the longest document."""
        config = self._config.data
        if config.pad_to_max_length or isinstance(self.train, IterableDataset):
            return config.max_source_length
        tokens = [one.tokens for one in self.sets()]
        splits = [*([self.train] if self.train is not None else []), *tokens]
        return max((int(row_lengths(one).max()) for one in splits if len(one)), default=1)

    def _train(self) -> Dataset | IterableDataset | None:
        rows = self._corpus.train
        if rows is None:
            return None
        if isinstance(rows, IterableDataset):
            shuffled = rows.shuffle(seed=self._config.seed, buffer_size=_SHUFFLED_ROWS)
            return tokenize_stream(shuffled, self._tokenizing)
        tokens = self._tokenize("train", rows, self._tokenizing)
        if empty := set(flagged_rows(tokens, "document_empty")):
            tokens = tokens.select([number for number in range(len(tokens)) if number not in empty])
            self._corpus.health.splits["train"].dropped += len(empty)
        return tokens.select_columns(["input_ids", "labels"])

    def _validation(self, name: str) -> EvaluationSet:
        """Return a validation set; with several sets, metrics are named `eval_<name>_…`."""
        rows = self._corpus.validation[name]
        if not self._config.data.validation_files or self._config.debug.overfit:
            return self._set("validation", "eval", rows)
        return self._set(f"validation_{name}", f"eval_{name}", rows)

    def _test(self, rows: Dataset) -> EvaluationSet:
        """Return the test rows, with chunks of long documents if `data.long_documents=chunk`."""
        test = self._set("test", "predict", rows)
        cut = flagged_rows(test.tokens, "document_cut")
        if self._config.data.long_documents != "chunk" or not cut:
            return test
        long = self._long_documents(cut, rows.select(cut))
        health = self._corpus.health.splits["test"]
        health.chunked_documents, health.truncated_documents = len(cut), 0
        return replace(test, long=long)

    def _long_documents(self, numbers: Sequence[int], documents: Dataset) -> LongDocuments:
        config = self._config.data
        language = choose_language(config.language, documents["document"])
        sentences = SentenceSplitter(language.code)
        chunker = Chunker(
            self._tokenizing,
            sentences,
            overlap=config.chunk_overlap,
            label=f"{language.code}|{sentences.label}",
        )
        content = self._corpus.fingerprints["test"]
        chunks = tokenize(documents, content, chunker, config, self._cache)
        return LongDocuments.of(numbers, chunks, chunker)

    def _set(self, split: str, name: str, rows: Dataset) -> EvaluationSet:
        limit = self._config.data.eval_target_length
        tokenizing = replace(self._tokenizing, max_target_length=limit)
        tokens = self._tokenize(split, rows, tokenizing)
        unscored = EvaluationSet(name, rows, tokens, None)
        references = unscored.references
        if not references:
            return unscored
        if self._config.metric.references == "labels":
            references = [texts[:1] for texts in references]
        _log_several(split, references, self._config.data)
        scorer = self._scorer(references)
        baseline = None
        # Only rank 0 scores. Loading here makes a missing model fail before training.
        if is_main():
            scorer.load()
            baseline = scorer.lead_baseline(unscored.documents, references)
        return replace(unscored, scorer=scorer, baseline=baseline)

    def _scorer(self, references: Sequence[Sequence[str]]) -> SummaryScorer:
        config = self._config
        # torch_xla would compile a program for each length, which is slow.
        device = select_device(
            "cpu" if config.hardware.backend == "xla" else config.hardware.backend
        )
        return SummaryScorer(
            config.metric,
            language=config.data.language,
            references=references,
            device=device,
            tiny=config.debug.tiny,
            seed=config.seed,
        )

    def _tokenize(self, split: str, rows: Dataset, tokenizing: Tokenizing) -> Dataset:
        corpus = self._corpus
        content = corpus.fingerprints[split]
        tokens = tokenize(rows, content, tokenizing, self._config.data, self._cache)
        health = corpus.health.splits.get(split)
        if health is not None:
            health.truncated_documents = len(flagged_rows(tokens, "document_cut"))
            health.truncated_summaries = len(flagged_rows(tokens, "summary_cut"))
            documents = rows.select(flagged_rows(tokens, "document_empty"))["document"]
            health.no_tokens = sum(not is_blank(document) for document in documents)
            unknown = unknown_token(tokenizing.tokenizer)
            health.document_tokens, health.unknown_document_tokens = count_tokens(
                tokens, "input_ids", unknown
            )
            health.summary_tokens, health.unknown_summary_tokens = count_tokens(
                tokens, "labels", unknown
            )
            _log_unknown(split, health, tokenizing.tokenizer)
        return tokens


def _log_unknown(split: str, health: SplitHealth, tokenizer: PreTrainedTokenizerBase) -> None:
    """Warn if the tokenizer does not know much of a split."""
    unknown = health.unknown()
    if max(unknown.values(), default=0) < _WORTH_A_WARNING:
        return
    shares = " and ".join(
        f"{share:.1f} % of those of the {what}" for what, share in unknown.items()
    )
    dropped = (
        "; its vocabulary has tokens for bytes to write unknown characters in, which transformers "
        f"{transformers.__version__} does not use for {type(tokenizer).__name__}"
        if drops_bytes(tokenizer)
        else ""
    )
    log.warning(
        "%s: the tokenizer does not know all characters: of the tokens, %s are unknown, and can be "
        "neither read nor written%s. Use a model of the language of your data",
        *(split, shares, dropped),
    )


def _log_several(split: str, references: Sequence[Sequence[str]], config: DataConfig) -> None:
    several = sum(len(row) > 1 for row in references)
    if several:
        log.info(
            "%s: %s of %s rows have several references; a row's score is the best over them",
            *(split, f"{several:,}", f"{len(references):,}"),
        )
    elif config.references_column not in (None, config.summary_column, "summary"):
        log.warning(
            "%s: no row has several references: column %r must hold lists of texts",
            *(split, config.references_column),
        )
