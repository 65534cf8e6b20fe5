import importlib.util
import random
from pathlib import Path

import pytest
from rouge_score import rouge_scorer

from summexp.metrics.rouge import TYPES, Text, _positions, lcs_indices, lcs_length, score_pair
from summexp.metrics.sentences import SentenceSplitter
from summexp.metrics.word_tokenizer import WordTokenizer

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "rouge_speed.py"


def random_sentences(rng: random.Random) -> list[list[str]]:
    """Up to 4 sentences of up to 12 words from an alphabet of 2 to 5: full of ties."""
    alphabet = "abcde"[: rng.randint(2, 5)]
    return [rng.choices(alphabet, k=rng.randint(0, 12)) for _ in range(rng.randint(0, 4))]


def test_lcs_read_out_breaks_ties_as_rouge_score_does() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        reference = rng.choices("abcd", k=rng.randint(1, 14))
        candidate = rng.choices("abcx", k=rng.randint(1, 14))
        indices = lcs_indices(reference, _positions(candidate), len(candidate))
        assert indices[::-1] == rouge_scorer.lcs_ind(reference, candidate)
        assert lcs_length(reference, candidate) == len(indices)


def test_every_score_equals_rouge_score_on_random_sentences() -> None:
    rng = random.Random(1)
    theirs = rouge_scorer.RougeScorer(list(TYPES), use_stemmer=True)
    for _ in range(2000):
        reference, prediction = random_sentences(rng), random_sentences(rng)
        expected = theirs.score(
            "\n".join(map(" ".join, reference)), "\n".join(map(" ".join, prediction))
        )
        ours = score_pair(Text.of(reference), Text.of(prediction))
        assert ours == pytest.approx([expected[name].fmeasure for name in TYPES], abs=1e-9)


def test_rows_longer_than_a_machine_word() -> None:
    rng = random.Random(2)
    for _ in range(20):
        reference = [rng.choices("abcdefgh", k=rng.randint(60, 150)) for _ in range(2)]
        candidate = rng.choices("abcdefgh", k=rng.randint(60, 150))
        for sentence in reference:
            expected = rouge_scorer.lcs_ind(sentence, candidate)
            indices = lcs_indices(sentence, _positions(candidate), len(candidate))
            assert indices[::-1] == expected
            assert lcs_length(sentence, candidate) == len(expected)


def test_real_english(scitldr: list[tuple[str, str]], mts_dialog: list[tuple[str, str]]) -> None:
    """Summaries against the first sentences of their documents, many-sentence ones included."""
    words, sentences = WordTokenizer("en"), SentenceSplitter("en")
    theirs = rouge_scorer.RougeScorer(list(TYPES), use_stemmer=True)
    several = 0
    for document, summary in scitldr[:150] + mts_dialog[:150]:
        reference, lead = sentences(summary), sentences(document)[:3]
        expected = theirs.score("\n".join(reference), "\n".join(lead))
        ours = score_pair(Text.of(map(words, reference)), Text.of(map(words, lead)))
        assert ours == pytest.approx([expected[name].fmeasure for name in TYPES], abs=1e-9)
        several += len(reference) > 1
    assert several > 50


def test_by_hand() -> None:
    # a b c d / e f  against  a c / b x e: 4 words in common of 6 and 5; no bigram; LCS a c e;
    # the union covers a, c (first sentence), b (second) and e.
    reference = Text.of([list("abcd"), list("ef")])
    prediction = Text.of([list("ac"), list("bxe")])
    assert score_pair(reference, prediction) == pytest.approx((8 / 11, 0, 6 / 11, 8 / 11))


def test_empty_texts_score_zero() -> None:
    empty, text = Text.of([[]]), Text.of([["a"]])
    assert score_pair(empty, text) == score_pair(text, empty) == score_pair(empty, empty)
    assert score_pair(empty, text) == (0, 0, 0, 0)


def test_one_word_has_no_bigram() -> None:
    assert score_pair(Text.of([["a"]]), Text.of([["a"]])) == (1, 0, 1, 1)


def test_benchmark_runs_and_results_are_equal(capsys: pytest.CaptureFixture[str]) -> None:
    if not BENCHMARK.exists():
        pytest.skip(f"not a checkout: {BENCHMARK} is missing")
    spec = importlib.util.spec_from_file_location("rouge_speed", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--pairs", "20"])
    lines = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert float(lines["largest difference"]) < 1e-9
