"""Benchmark of ROUGE: summexp against rouge_score, with equal results.

    python benchmarks/rouge_speed.py --pairs 11490

11,490 is the size of CNN/DailyMail's test set. The pairs are generated: English words drawn by
their rank (Zipf's law), sentences of 20 words, a prediction that keeps part of its reference. CPU
seconds of one process, nothing counted beforehand; imports are not timed, bootstrap intervals are
left out.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from rouge_score.rouge_scorer import RougeScorer

from summexp.metrics.config import MetricConfig
from summexp.metrics.rouge import TYPES
from summexp.metrics.scorer import SummaryScorer

_ROOTS = "nation form report govern act play test market state relat creat inform oper direct"
_ENDINGS = ["", "s", "al", "ation", "ally", "ing", "ed", "ness", "able", "ively", "er", "izes"]
_SHORT = "the a of to in and is was on for it with as at by he she they his her from that"
_SENTENCE = 20


def vocabulary() -> list[str]:
    """Return invented words with English endings, the short ones first, as in real texts."""
    prefixes = ["", "re", "un", "over", "inter", "pre", "dis", "sub", "trans", "under", "co", "de"]
    long = [p + root + end for root in _ROOTS.split() for p in prefixes for end in _ENDINGS]
    random.Random(1).shuffle(long)
    return _SHORT.split() + long


def generate(pairs: int, words: int) -> tuple[list[str], list[str]]:
    """Return (predictions, references), `words` words a text, the same at every call."""
    rng = random.Random(0)
    known = vocabulary()
    weights = [1 / rank for rank in range(1, len(known) + 1)]
    predictions, references = [], []
    for _ in range(pairs):
        reference = rng.choices(known, weights, k=words)
        fresh = rng.choices(known, weights, k=words)
        kept = [a if rng.random() < 0.4 else b for a, b in zip(reference, fresh, strict=True)]
        references.append(_text(reference))
        predictions.append(_text(kept))
    return predictions, references


def _text(words: list[str]) -> str:
    parts = [words[i : i + _SENTENCE] for i in range(0, len(words), _SENTENCE)]
    return "\n".join(" ".join(part).capitalize() + "." for part in parts)


def main(argv: list[str] | None = None) -> float:
    """Score the pairs both ways, print seconds, ratio and difference, and return the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=11490, help="pairs of texts (11490)")
    parser.add_argument("--words", type=int, default=60, help="words in each text (60)")
    args = parser.parse_args(argv)
    predictions, references = generate(args.pairs, args.words)

    plain = RougeScorer(list(TYPES), use_stemmer=True)
    start = time.process_time()
    expected = [plain.score(r, p) for p, r in zip(predictions, references, strict=True)]
    seconds_plain = time.process_time() - start

    scorer = SummaryScorer(MetricConfig(bootstrap_samples=0), language="en", references=[])
    scorer.score(["warm"], ["up"])  # imports what is loaded at the first text
    start = time.process_time()
    rows = scorer.score(predictions, references).rows
    seconds_ours = time.process_time() - start

    difference = max(
        abs(rows[name][i] / 100 - scores[name].fmeasure)
        for i, scores in enumerate(expected)
        for name in TYPES
    )
    print(f"pairs               {args.pairs} of {args.words} words")
    print(f"rouge_score         {seconds_plain:.2f} CPU s")
    print(f"summexp             {seconds_ours:.2f} CPU s")
    print(f"ratio               {seconds_plain / seconds_ours:.1f} times faster")
    print(f"largest difference  {difference:.1e}")
    return seconds_plain / seconds_ours


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
