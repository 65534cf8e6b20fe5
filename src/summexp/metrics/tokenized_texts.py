"""Tokenized texts: sentences and words of each text, split once and shared by all metrics.

Tested in tests/metrics/test_scorer.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache

from summexp.metrics.config import MetricConfig
from summexp.metrics.rouge import Text, Words
from summexp.metrics.sentences import SentenceSplitter, with_line_ends
from summexp.metrics.word_tokenizer import WordTokenizer

_REMEMBERED_TEXTS = 1 << 16


class TokenizedTexts:
    """Splits texts of one language, and remembers those that it has split."""

    def __init__(self, config: MetricConfig, language: str) -> None:
        """Prepare for a language code of `summexp.metrics.language`.

        Raises:
            ConfigError: no stemmer where one is asked for, or punkt not installed.
        """
        self.words = WordTokenizer(language, tokenizer=config.tokenizer, stemming=config.stemming)
        self.sentences = SentenceSplitter(language, config.sentences)
        # The old scripts score markers of sentence ends as words.
        self.line_ends = with_line_ends if config.references == "original" else str
        """Return a text with line ends in place of markers such as `<n>`."""
        # Inflected forms are new words where novelty and repetition are published.
        self._plain_words = WordTokenizer(language, tokenizer=config.tokenizer, stemming=False)
        self._numbers: dict[str, int] = {}
        self.text = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._text)
        """Return the words of a text, stemmed for ROUGE."""
        self.words_of_document = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._words_of_document)
        """Return the words of a document, unstemmed, as numbers."""

    def lead(self, text: str, count: int) -> Text:
        """Return the first `count` sentences of a text."""
        return Text.of(map(self.words, self._sentences(text)[:count]))

    def words_of_summary(self, text: str) -> array[int]:
        """Return the words of a summary, unstemmed, as numbers."""
        same = self.words.stemmer is None
        return self._number(self.text(text).words if same else self._plain(text))

    def _text(self, text: str) -> Text:
        return Text.of(map(self.words, self._sentences(text)))

    def _sentences(self, text: str) -> list[str]:
        return self.sentences(self.line_ends(text))

    def _words_of_document(self, text: str) -> array[int]:
        return self._number(self._plain(text))

    def _plain(self, text: str) -> Words:
        """Return the words of `text`, not stemmed, cut the same in a summary and its document."""
        if self.words.stemmer is None:
            return self._text(text).words
        return [word for one in self._sentences(text) for word in self._plain_words(one)]

    def _number(self, words: Sequence[str]) -> array[int]:
        numbers = self._numbers
        return array("I", [numbers.setdefault(word, len(numbers)) for word in words])
