"""Text statistics of summaries: length, compression, novelty, repetition.

Texts come as words, so that this module knows nothing of languages; which words these are, and that
they are not stemmed, `summexp.metrics.tokenized_texts` decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from summexp.metrics.metric import Metric, ScoreInfo, Summaries, columns

NGRAMS = (1, 2, 3)
"""Lengths of the n-grams whose novelty and repetition are counted."""

Words = Sequence[str] | Sequence[int]
"""Words as texts, or as numbers that stand for them."""


def length_ratio(prediction: Words, references: Sequence[Words]) -> float:
    """Return the words of the prediction divided by those of the reference; 1 is as long as it.

    Of several references the one nearest in length counts, of two equally near ones the shorter, as
    BLEU takes its reference length (Papineni et al. 2002, section 2.2.2, acl P02-1040). A reference
    without words counts as one word long.
    """
    size = len(prediction)
    nearest = min(map(len, references), key=lambda length: (abs(length - size), length))
    return size / max(nearest, 1)


def compression(document: Words, prediction: Words) -> float:
    """Return the share of the document's words that the summary saves: 100 (1 - |S| / |D|).

    Word compression of Bommasani and Cardie 2020 (Intrinsic Evaluation of Summarization Datasets,
    EMNLP). It is below 0 where the summary is longer, and 0 for a document without words. Their
    own name for it is a score between 0 and 1; |D| / |S|, which others call compression, has no
    value for an empty summary.
    """
    return 100.0 * (1.0 - len(prediction) / len(document)) if document else 0.0


def novelty(document: Words, prediction: Words) -> tuple[float, ...]:
    """Return the shares of the summary's n-grams that the document lacks, for each n of `NGRAMS`.

    0 to 100, each occurrence counted (See et al. 2017, arXiv:1704.04368; Narayan et al. 2018,
    arXiv:1808.08745). A summary too short for an n-gram has no new one: 0.
    """
    shares = []
    for n in NGRAMS:
        total = max(0, len(prediction) - n + 1)
        known = set(_ngrams(document, n)) if total else set()
        new = sum(ngram not in known for ngram in _ngrams(prediction, n))
        shares.append(100.0 * new / total if total else 0.0)
    return tuple(shares)


def repetition(prediction: Words) -> tuple[float, ...]:
    """Return the shares of the summary's n-grams that it had already, for each n of `NGRAMS`.

    100 (1 - different n-grams / n-grams), 0 to 100: seq-rep-n of Welleck et al. 2020
    (arXiv:1908.04319), there for n = 4. A summary too short for an n-gram repeats none.
    """
    shares = []
    for n in NGRAMS:
        total = max(0, len(prediction) - n + 1)
        different = len(set(_ngrams(prediction, n)))
        shares.append(100.0 * (1.0 - different / total) if total else 0.0)
    return tuple(shares)


def _ngrams(words: Words, n: int) -> Iterator[tuple[str | int, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


class LengthRatio(Metric):
    """The length of a summary beside its reference's."""

    name = "length_ratio"
    scores = (ScoreInfo(name="length_ratio", label="length / reference", higher_is_better=None),)

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return a ratio a row."""
        texts = summaries.texts
        sizes = ([texts.text(reference).words for reference in row] for row in summaries.references)
        pairs = zip(summaries.words, sizes, strict=True)
        return columns(self.scores, [(length_ratio(*pair),) for pair in pairs])


class Compression(Metric):
    """How much of a document its summary saves."""

    name = "compression"
    needs_documents = True
    scores = (
        ScoreInfo(
            name="compression", label="compression", unit="%", higher_is_better=None, maximum=100.0
        ),
    )

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return a share a row, up to 100."""
        pairs = zip(summaries.document_words, summaries.words, strict=True)
        return columns(self.scores, [(compression(*pair),) for pair in pairs])


class Novelty(Metric):
    """How much of a summary its document lacks."""

    name = "novelty"
    needs_documents = True
    scores = tuple(
        ScoreInfo(
            name=f"novel_{n}grams",
            label=f"new {n}-grams",
            unit="%",
            higher_is_better=None,
            maximum=100.0,
        )
        for n in NGRAMS
    )

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return a share a row for each n, 0 to 100."""
        pairs = zip(summaries.document_words, summaries.words, strict=True)
        return columns(self.scores, [novelty(*pair) for pair in pairs])


class Repetition(Metric):
    """How much a summary repeats itself."""

    name = "repetition"
    scores = tuple(
        ScoreInfo(
            name=f"repeated_{n}grams",
            label=f"repeated {n}-grams",
            unit="%",
            higher_is_better=False,
            maximum=100.0,
        )
        for n in NGRAMS
    )

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return a share a row for each n, 0 to 100."""
        return columns(self.scores, [repetition(words) for words in summaries.words])


LENGTH_RATIO, COMPRESSION, NOVELTY, REPETITION = (
    LengthRatio(),
    Compression(),
    Novelty(),
    Repetition(),
)
