import pytest

from summexp.metrics.text_statistics import NGRAMS, compression, length_ratio, novelty, repetition

DOCUMENT = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "sat", "too"]


def test_n_grams_are_counted_up_to_three() -> None:
    assert NGRAMS == (1, 2, 3)


@pytest.mark.parametrize(
    ("size", "references", "ratio"),
    [
        (6, [4], 1.5),
        (0, [4], 0.0),
        (6, [2, 5, 10], 6 / 5),
        (6, [8, 4], 6 / 4),  # equally near: the shorter
        (3, [0], 3.0),
    ],
)
def test_length_ratio(size: int, references: list[int], ratio: float) -> None:
    assert length_ratio(["w"] * size, [["w"] * one for one in references]) == ratio


def test_compression() -> None:
    assert compression(["w"] * 20, ["w"] * 5) == 75.0
    assert compression(["w"] * 20, []) == 100.0
    assert compression(["w"] * 4, ["w"] * 5) == -25.0
    assert compression([], ["w"]) == 0.0


def test_novelty_by_hand() -> None:
    # Of the words one is new; of 6 pairs "a cat", "mat sat"; of 5 triples all but "on the mat",
    # "sat on the", "cat sat on".
    assert novelty(DOCUMENT, ["a", "cat", "sat", "on", "the", "mat", "sat"]) == pytest.approx(
        (100 / 7, 200 / 6, 200 / 5)
    )
    assert novelty(DOCUMENT, DOCUMENT[3:8]) == (0, 0, 0)
    # Each occurrence counts.
    assert novelty(DOCUMENT, ["x", "x", "cat"])[0] == pytest.approx(200 / 3)
    assert novelty(DOCUMENT, ["x", "x"]) == (100, 100, 0)
    assert novelty([], ["x"]) == (100, 0, 0)
    assert novelty(DOCUMENT, []) == (0, 0, 0)


def test_repetition_by_hand() -> None:
    # a b a b a: 2 of 5 words, 2 of 4 pairs, 2 of 3 triples are different.
    assert repetition(["a", "b", "a", "b", "a"]) == pytest.approx((60, 50, 100 / 3))
    assert repetition(["a", "b", "c", "d"]) == (0, 0, 0)
    assert repetition(["a"] * 11) == pytest.approx((1000 / 11, 90, 800 / 9))
    assert repetition(["a"]) == repetition([]) == (0, 0, 0)


def test_numbers_stand_for_words() -> None:
    numbers = {word: number for number, word in enumerate(DOCUMENT)}
    summary = ["the", "dog", "sat", "on", "the", "mat"]
    by_number = novelty([numbers[w] for w in DOCUMENT], [numbers[w] for w in summary])
    assert by_number == novelty(DOCUMENT, summary)
