"""Sentence splitting, for rougeLsum and the lead-n baseline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import version

import regex

from summexp.errors import ConfigError
from summexp.metrics.language import primary

# What sentencex leaves unsplit. Thai has no full stop: a space between two Thai words ends a clause
# (one beside a digit, a Latin word or the signs for repetition and abbreviation does not).
_MORE_BREAKS = {
    "th": regex.compile(r"(?V1)(?<=[\p{Thai}--[ๆฯ]])\s+(?=[\p{Thai}--[ๆฯ]])"),
    "km": regex.compile(r"(?<=[។៕])\s*"),
    "bo": regex.compile(r"(?<=[།༎])\s+"),
    "dz": regex.compile(r"(?<=[།༎])\s+"),
}

_MARKER = regex.compile(r"<(?:n|q|s_sep|eop)>|\[x_sep\]|</?[st]>", regex.IGNORECASE)
"""What models and corpora write between sentences or around them: `<n>` PEGASUS, `<q>` PreSumm,
`[X_SEP]` UniLM and ProphetNet, `<S_SEP>` and `<eop>` GLM, `<t> … </t>` OpenNMT, and `<s> … </s>`
the pointer-generator's CNN/DailyMail."""


def with_line_ends(text: str) -> str:
    r"""Return `text` with a line end in place of each marker that stands between sentences.

    >>> with_line_ends("One.<n>Two. <q> Three.")
    'One.\nTwo.\nThree.'
    """
    parts = _MARKER.split(text)
    return text if len(parts) == 1 else "\n".join(filter(None, map(str.strip, parts)))


class SentenceSplitter:
    """Splits text of one language into sentences; a line end always ends a sentence."""

    def __init__(self, language: str, splitter: str = "sentencex") -> None:
        """Prepare for a language code of `summexp.metrics.language`.

        `splitter` is `sentencex`, or `punkt`: nltk's English model whatever the language, as
        in the old scripts.

        Raises:
            ConfigError: punkt is asked for and its data are not installed.
        """
        self.language = primary(language)
        if splitter == "punkt":
            self.label = f"punkt-{version('nltk')}"
            self._segment: Callable[[str], list[str]] = load_punkt()
            # The old scripts put "\n" between sentences, and rouge_score ends them there alone.
            self._lines: Callable[[str], list[str]] = lambda text: text.split("\n")
        else:
            more = f"+{self.language}" if self.language in _MORE_BREAKS else ""
            self.label = f"sentencex-{version('sentencex')}{more}"
            self._segment = self._sentencex
            self._lines = str.splitlines

    def __call__(self, text: str) -> list[str]:
        """Return the sentences of `text`, stripped; none is empty or holds a line end."""
        lines = (line for part in self._segment(text) for line in self._lines(part))
        return [stripped for line in lines if (stripped := line.strip())]

    def _sentencex(self, text: str) -> list[str]:
        import sentencex

        # Line by line: it takes a single line end inside a paragraph for a space.
        parts = [
            part for line in text.splitlines() for part in sentencex.segment(self.language, line)
        ]
        breaks = _MORE_BREAKS.get(self.language)
        return [fragment for part in parts for fragment in breaks.split(part)] if breaks else parts


@cache
def load_punkt() -> Callable[[str], list[str]]:
    """Load nltk's English punkt model.

    Raises:
        ConfigError: its data (`punkt_tab`) are not installed.
    """
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        model = PunktTokenizer("english")
    except LookupError:
        raise ConfigError.of(
            key="metric.sentences",
            what="punkt needs nltk's punkt_tab data, which are not installed",
            hint="Run python -m nltk.downloader punkt_tab, or use metric.sentences=sentencex.",
        ) from None
    segment: Callable[[str], list[str]] = model.tokenize
    return segment
