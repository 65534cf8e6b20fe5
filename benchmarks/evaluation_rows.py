"""Benchmark of what an evaluation does with its rows: Arrow columns against Python lists.

    python benchmarks/evaluation_rows.py

The set has the size of CNN/DailyMail's validation split: 13,368 documents of 800 tokens (4,000
characters) and summaries of 60 tokens, generated, and memory-mapped from the cache as in a run.
Measured is an evaluation after the first one, without the model and the scores: batches by length,
references, and documents if a metric reads them.

`lists` is how summexp did it before: it made Python objects of the columns in each evaluation, and
fetched each document. Both ways run in one call, each in a process of its own, on Linux, and give
the same batches and texts.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from datasets import Dataset, disable_progress_bars
from transformers import GenerationConfig

from summexp.evaluation.evaluate import EvaluationSet, EvaluationSettings, batch_rows

Way = Callable[[EvaluationSet, bool], Iterable[object]]

_WORDS = ("river", "rose", "and", "all", "the", "town", "was", "warned", "before", "night")
_SETTINGS = EvaluationSettings(
    generation=GenerationConfig(max_length=142),
    batch_rows=16,
    batch_tokens=None,
    sort_by_length=True,
    generate=True,
)


def write(folder: Path, rows: int) -> None:
    """Write the set: texts and tokens, with documents of 600 to 1,000 tokens."""

    def length(number: int) -> int:
        return 600 + number * 7919 % 401

    def words(count: int) -> str:
        return " ".join((_WORDS * (count // len(_WORDS) + 1))[:count])

    numbers = range(rows)
    texts = {
        "id": [str(number) for number in numbers],
        "document": [words(length(number)) for number in numbers],
        "summary": [words(45) for _ in numbers],
    }
    tokens = {
        "input_ids": [list(range(length(number))) for number in numbers],
        "labels": [list(range(60)) for _ in numbers],
        "document_cut": [False] * rows,
        "document_empty": [False] * rows,
        "summary_cut": [False] * rows,
    }
    disable_progress_bars()
    Dataset.from_dict(texts).save_to_disk(folder / "rows")
    Dataset.from_dict(tokens).save_to_disk(folder / "tokens")


def with_arrow(rows: EvaluationSet, documents: bool) -> Iterable[object]:
    """Yield the batches and texts of an evaluation as summexp has them."""
    yield from batch_rows(rows.tokens, _SETTINGS, rows.skipped)
    yield from rows.references
    yield from rows.documents if documents else ()


def with_lists(rows: EvaluationSet, documents: bool) -> Iterable[object]:
    """Yield the same by Python lists; documents were fetched also if no metric reads them."""
    lengths = [len(ids) for ids in rows.tokens["input_ids"]]
    order = [number for number in range(len(lengths)) if number not in rows.skipped]
    order.sort(key=lambda number: -lengths[number])
    for start in range(0, len(order), _SETTINGS.batch_rows):
        yield order[start : start + _SETTINGS.batch_rows]
    references = [[text] if text else [] for text in rows.rows["summary"]]
    yield from (references[number] for number in rows.scored)
    fetched = [rows.rows[number]["document"] for number in rows.scored]
    yield from fetched if documents else ()


def measure(way: Way, folder: Path, *, documents: bool) -> tuple[float, float, str]:
    """Return CPU seconds of an evaluation, MiB of memory that it adds, and a digest of the result.

    Memory is the peak of the process, with those pages of the files that it touches.
    """
    texts, tokens = (Dataset.load_from_disk(folder / name) for name in ("rows", "tokens"))
    rows = EvaluationSet("eval", texts, tokens, None)
    # The first evaluation finds out which rows are skipped and scored.
    digest = _digest(way(rows, documents))
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    start = time.process_time()
    for _ in way(rows, documents):
        pass
    return time.process_time() - start, (_memory("VmHWM") - before) / 1024, digest


def _memory(name: str) -> int:
    """Return an entry of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _digest(found: Iterable[object]) -> str:
    total = hashlib.blake2b()
    for one in found:
        total.update(repr(one).encode())
    return total.hexdigest()


def main(argv: list[str] | None = None) -> float:
    """Measure both ways, print seconds and memory, and return the ratio of the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=13_368, help="rows of the set (13368)")
    args = parser.parse_args(argv)
    ratio = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, args.rows)
        # A process for each, whose highest memory is its own.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
            for documents in (False, True):
                before, after = (
                    pool.submit(measure, way, folder, documents=documents).result()
                    for way in (with_lists, with_arrow)
                )
                if before[2] != after[2]:
                    raise SystemExit("the two ways differ")
                ratio = ratio or before[0] / after[0]
                what = "with documents" if documents else "without documents"
                print(
                    f"{what}: lists {before[0]:.2f} s, {before[1]:.0f} MiB; "
                    f"Arrow {after[0]:.3f} s, {after[1]:.0f} MiB; "
                    f"{before[0] / after[0]:.0f} times less time"
                )
    return ratio


if __name__ == "__main__":
    main()
