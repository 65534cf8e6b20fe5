"""Word tokenizer by language, for ROUGE.

rouge_score's own tokenizer keeps only a-z and 0-9, so that Japanese scores exactly 0 and French
loses its accented letters. English is counted as there; every other language as its writing asks
for. A library with a dictionary is imported when the first text of its language is counted.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

from summexp.errors import ConfigError

Split = Callable[[str], list[str]]
Stem = Callable[[str], str]

_BY_LANGUAGE = {
    "en": "rouge_score",
    "ja": "mecab",
    "ko": "kiwi",
    "km": "graphemes",
    "lo": "graphemes",
    "my": "graphemes",
    "th": "newmm",
    "yue": "han",
    "zh": "han",
}
_SNOWBALL = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nb": "norwegian",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
}
# The version that decides where words end, for the tokenizers that have a dictionary.
_DICTIONARY = {"kiwi": "kiwipiepy", "mecab": "ipadic", "newmm": "pythainlp"}


class WordTokenizer:
    """Splits text of one language into the words that are compared; call it with a text."""

    def __init__(
        self, language: str, *, tokenizer: str | None = None, stemming: bool | None = None
    ) -> None:
        """Choose tokenizer and stemmer for a language code of `summexp.metrics.language`.

        Cheap: nothing heavy is imported before the first text.

        Raises:
            ConfigError: stemming is asked for where there is no stemmer.
        """
        self.language = language
        self.tokenizer = tokenizer or _BY_LANGUAGE.get(language, "unicode")
        available = self._available_stemmer()
        if stemming and available is None:
            raise ConfigError.of(
                key="metric.stemming",
                what=f"there is no stemmer for language {language!r} with words as "
                f"{self.tokenizer!r} counts them",
                hint="Leave metric.stemming unset, or set data.language to a language that "
                f"has one: en, {', '.join(_SNOWBALL)}.",
            )
        self.stemmer = None if stemming is False else available

    def _available_stemmer(self) -> str | None:
        if self.tokenizer == "rouge_score" or (self.tokenizer, self.language) == ("unicode", "en"):
            return "porter"
        return _SNOWBALL.get(self.language) if self.tokenizer == "unicode" else None

    @property
    def label(self) -> str:
        """The tokenizer's name, with the version of its dictionary if it has one."""
        package = _DICTIONARY.get(self.tokenizer)
        return f"{self.tokenizer}({package}-{version(package)})" if package else self.tokenizer

    def __call__(self, text: str) -> list[str]:
        """Return the words of `text` in order, folded and stemmed as they are compared."""
        return self._split(text)

    @cached_property
    def _split(self) -> Split:
        stem = _load_stemmer(self.stemmer) if self.stemmer else None
        if self.tokenizer == "rouge_score":
            return _load_rouge_score(stem)
        if self.tokenizer == "unicode":
            return _load_unicode(stem, self.language)
        return _LOADERS[self.tokenizer]()


def _load_stemmer(name: str) -> Stem:
    """Return a stemmer that remembers each word: real texts repeat most of theirs."""
    if name == "porter":
        from nltk.stem.porter import PorterStemmer

        porter = PorterStemmer()
        # rouge_score leaves words of up to three letters as they are.
        return cache(lambda word: str(porter.stem(word)) if len(word) > 3 else word)
    from nltk.stem.snowball import SnowballStemmer

    # A new one for each word: nltk's Arabic stemmer carries state from one word to the next, so
    # that a stem would depend on the words seen before.
    return cache(lambda word: str(SnowballStemmer(name).stem(word)))


class _Stemmer:
    """The shape in which rouge_score takes a stemmer."""

    def __init__(self, stem: Stem) -> None:
        self.stem = stem


def _load_rouge_score(stem: Stem | None) -> Split:
    from rouge_score.tokenize import tokenize

    stemmer = _Stemmer(stem) if stem else None
    return lambda text: list(tokenize(text, stemmer))


def _load_unicode(stem: Stem | None, language: str) -> Split:
    """Runs of letters, their marks and digits, without regard to case.

    NFKC, so that ligatures, full-width letters and Arabic presentation forms are the letters that
    they stand for. Invisible format characters (joiners, soft hyphens) go, since some writers set
    them and others do not; the zero-width space stays, since it ends a word.
    """
    import regex

    invisible = regex.compile(r"(?V1)[\p{Cf}--[\u200b]]+")
    word = regex.compile(r"[\p{L}\p{M}\p{N}]+")
    # Elsewhere the dotless i does not exist and casefold takes I for i.
    turkic = str.maketrans("İI", "i\u0131") if language in ("tr", "az") else {}

    def split(text: str) -> list[str]:
        text = _fold(invisible.sub("", unicodedata.normalize("NFKC", text)).translate(turkic))
        words = word.findall(text)
        return [stem(w) for w in words] if stem else list(words)

    return split


def _load_han() -> Split:
    """Each Han character, and whole runs of any other letters and digits."""
    import regex

    word = regex.compile(r"(?V1)\p{Han}\p{M}*|[[\p{L}\p{M}\p{N}]--\p{Han}]+")
    return lambda text: list(word.findall(_fold(text)))


def _load_graphemes() -> Split:
    """Grapheme clusters (UAX #29) for scripts that do not separate words; Latin runs stay whole.

    Marks that UAX #29 lets stand alone, as the Burmese vowel aa, stay with their letter. NFC first
    and not NFKC, which takes the Lao vowel am apart.
    """
    import regex

    unit = regex.compile(r"(?:\p{Latin}\p{M}*)+|\p{Nd}+|\X\p{M}*")
    counted = _counted()

    def split(text: str) -> list[str]:
        units = unit.findall(unicodedata.normalize("NFC", text))
        return [_fold(cluster) for cluster in units if counted(cluster)]

    return split


@cache
def _load_kiwi() -> Split:
    """Korean morphemes (stems, particles and endings apart).

    NFC first and not NFKC, which changes the free-standing jamo that the dictionary knows.
    """
    from kiwipiepy import Kiwi

    kiwi = Kiwi(num_workers=1)
    counted = _counted()

    def split(text: str) -> list[str]:
        tokens = kiwi.tokenize(unicodedata.normalize("NFC", text))
        return [_fold(token.form) for token in tokens if counted(token.form)]

    return split


@cache
def _load_mecab() -> Split:
    """Japanese morphemes as they are written, by the IPA dictionary."""
    import ipadic
    from fugashi import GenericTagger

    tagger = GenericTagger(ipadic.MECAB_ARGS)
    counted = _counted()

    def split(text: str) -> list[str]:
        # NFKC first: the dictionary cuts full-width numbers into digits.
        nodes = tagger(unicodedata.normalize("NFKC", text))
        return [_fold(node.surface) for node in nodes if counted(node.surface)]

    return split


@cache
def _load_newmm() -> Split:
    """Thai words by PyThaiNLP's dictionary.

    NFC first and not NFKC, which takes the vowel am apart, so that its words are not found.
    """
    from pythainlp.tokenize import word_tokenize

    counted = _counted()

    def split(text: str) -> list[str]:
        words = word_tokenize(unicodedata.normalize("NFC", text), engine="newmm")
        return [_fold(word.strip()) for word in words if counted(word)]

    return split


_LOADERS: dict[str, Callable[[], Split]] = {
    "graphemes": _load_graphemes,
    "han": _load_han,
    "kiwi": _load_kiwi,
    "mecab": _load_mecab,
    "newmm": _load_newmm,
}


def _fold(text: str) -> str:
    # Folding can leave a decomposed form behind, hence the second NFKC.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _counted() -> Callable[[str], Any]:
    """Return the test that tells a word from punctuation and space."""
    import regex

    search: Callable[[str], Any] = regex.compile(r"[\p{L}\p{N}]").search
    return search
