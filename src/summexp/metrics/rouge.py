"""ROUGE-1, -2, -L and -Lsum of a pair of texts, equal to rouge_score and faster.

The longest common subsequence is computed a whole row of the table at a time, as bits of one
integer. Texts come as sentences of words, so that this module knows nothing of languages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from summexp.metrics.metric import Metric, ScoreInfo, Summaries, columns

if TYPE_CHECKING:
    from summexp.metrics.tokenized_texts import TokenizedTexts

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
"""The scores, in the order in which `score_pair` returns them."""

Words = Sequence[str]


class Text(NamedTuple):
    """A text, counted: its sentences and all its words."""

    sentences: tuple[Words, ...]
    """The words of each sentence that has any."""
    words: Words
    """The words of all sentences, in order."""

    @classmethod
    def of(cls, sentences: Iterable[Words]) -> Text:
        """Build a text from the words of its sentences."""
        kept = tuple(sentence for sentence in sentences if sentence)
        return cls(kept, kept[0] if len(kept) == 1 else list(chain.from_iterable(kept)))


class Rouge(Metric):
    """ROUGE; of several references each score takes the best, as rouge_score's `score_multi`."""

    name = "rouge"
    scores = tuple(
        ScoreInfo(
            name=name,
            label=name.replace("rouge", "ROUGE-"),
            higher_is_better=True,
            maximum=100.0,
            quality=True,
        )
        for name in TYPES
    )

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return four f-measures a row, 0 to 100."""
        return self.of_texts(summaries.tokenized, summaries.references, summaries.texts)

    def of_texts(
        self,
        predictions: Sequence[Text],
        references: Sequence[Sequence[str]],
        texts: TokenizedTexts,
    ) -> dict[str, list[float]]:
        """Return the same for predictions that are split already."""
        rows = []
        for prediction, row in zip(predictions, references, strict=True):
            scores = [score_pair(texts.text(reference), prediction) for reference in row]
            rows.append([100.0 * max(column) for column in zip(*scores, strict=True)])
        return columns(self.scores, rows)


ROUGE = Rouge()


def score_pair(reference: Text, prediction: Text) -> tuple[float, float, float, float]:
    """Return the four f-measures of a pair, each between 0 and 1, in the order of `TYPES`.

    Equal to rouge_score 0.1.2 (`RougeScorer.score`) for texts whose sentences are joined by line
    ends. Where either text has no words, every score is 0.
    """
    if not reference.words or not prediction.words:
        return (0.0, 0.0, 0.0, 0.0)
    size_r, size_p = len(reference.words), len(prediction.words)
    common = lcs_length(reference.words, prediction.words)
    if len(reference.sentences) == len(prediction.sentences) == 1:
        union = common
    else:
        union = union_lcs_hits(reference.sentences, prediction.sentences)
    return (
        _f(_overlap(reference.words, prediction.words), size_r, size_p),
        _f(_overlap(pairwise(reference.words), pairwise(prediction.words)), size_r - 1, size_p - 1),
        _f(common, size_r, size_p),
        _f(union, size_r, size_p),
    )


def lcs_length(first: Words, second: Words) -> int:
    """Return the length of a longest common subsequence of two lists of words.

    Source: H. Hyyrö, Bit-parallel LCS-length computation revisited (AWOCA 2004).
    """
    if len(first) > len(second):
        first, second = second, first
    masks = _positions(second)
    row = full = (1 << len(second)) - 1
    for word in first:
        if mask := masks.get(word):
            matched = row & mask
            row = ((row + matched) | (row - matched)) & full
    return len(second) - row.bit_count()


def union_lcs_hits(reference: Sequence[Words], prediction: Sequence[Words]) -> int:
    """Count the reference words that the union of sentence-level LCSs covers (rougeLsum's hits).

    As in rouge_score, a word counts at most as often as the prediction has it (section 3.2 of Lin
    2004 counts the whole union).
    """
    candidates = [(_positions(sentence), len(sentence)) for sentence in prediction]
    available = Counter(chain.from_iterable(prediction))
    covered: Counter[str] = Counter()
    for sentence in reference:
        union: set[int] = set()
        for masks, width in candidates:
            union.update(lcs_indices(sentence, masks, width))
        covered.update(sentence[index] for index in union)
    return sum(min(count, available[word]) for word, count in covered.items())


def lcs_indices(reference: Words, masks: dict[str, int], width: int) -> list[int]:
    """Return which words of `reference` are in the LCS that rouge_score reads out, last first.

    Several LCSs can be equally long, and the union depends on which is taken. rouge_score walks
    back through its table t from the last cell: on equal words diagonally, else to the left if
    t[i][j-1] > t[i-1][j], else up. Here `rows[i]` is row i of that table: bit j-1 is 0 where
    t[i][j] = t[i][j-1] + 1, so that t[i][j] is the number of zeros among the lowest j bits. Words
    of `reference` that the candidate lacks repeat the row above and always lead up: they are left
    out.

    Args:
        reference: words of a reference sentence.
        masks: the candidate sentence as `_positions` gives it.
        width: number of words of the candidate sentence.
    """
    row = full = (1 << width) - 1
    rows, matches, indices = [row], [], []
    for index, word in enumerate(reference):
        if mask := masks.get(word):
            matched = row & mask
            row = ((row + matched) | (row - matched)) & full
            rows.append(row)
            matches.append(mask)
            indices.append(index)
    taken = []
    i, bit = len(matches), 1 << (width - 1)
    while i and bit:
        if matches[i - 1] & bit:
            i -= 1
            taken.append(indices[i])
            bit >>= 1
            continue
        low = bit + bit - 1
        # Of unequal words t[i][j] is the larger neighbour: left exactly if it is not the upper one.
        if (rows[i] & low).bit_count() < (rows[i - 1] & low).bit_count():
            bit >>= 1
        else:
            i -= 1
    return taken


def _positions(words: Words) -> dict[str, int]:
    """Map each word to an integer whose bit j is set where `words[j]` is that word."""
    masks: dict[str, int] = {}
    bit = 1
    for word in words:
        masks[word] = masks.get(word, 0) | bit
        bit <<= 1
    return masks


def _overlap(reference: Iterable[Any], prediction: Iterable[Any]) -> int:
    """Count what both have, each as often as both have it."""
    available = Counter(prediction)
    return sum(
        min(count, available[item])
        for item, count in Counter(reference).items()
        if item in available
    )


def _f(hits: int, size_reference: int, size_prediction: int) -> float:
    # Brings NumPy, which a config is read without.
    from rouge_score.scoring import fmeasure

    precision, recall = hits / max(size_prediction, 1), hits / max(size_reference, 1)
    return float(fmeasure(precision, recall))
