"""Steps per second of `engine=accelerate` beside `engine=trainer`, on the same work.

    python benchmarks/engines.py

Both train the same weights on the same rows of the bundled corpus in one process, in turns (one
first, then the other first), so that a busy machine slows both alike. A step is measured from its
first batch to the next step's, by the wall clock and in CPU seconds; the first steps are left out,
and nothing is evaluated or saved in between. The tiny is a model so small that what a loop adds to
each step shows.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch

from summexp.check import check
from summexp.command_line import parse
from summexp.engines.protocol import TrainingJob
from summexp.engines.registry import build_engine
from summexp.runs.preparation import prepare_run
from summexp.runs.record import RunRecord
from summexp.runs.resume import RunPlan
from summexp.runs.training_job import training_job

ENGINES = ("accelerate", "trainer")
CLOCKS = ("wall", "cpu")
Pair: TypeAlias = dict[str, dict[str, list[float]]]
"""Seconds of each step, by engine and clock."""
COLUMNS = (
    "model",
    "accumulation",
    "accelerate, steps/s",
    "trainer, steps/s",
    "ratio",
    "ratio, CPU",
    "ratio, least CPU",
    "ms more a step",
)
TINY = "tiny T5"
BART = ["model=bart_base", "model.init=random", "model.name_or_path=null"]
SIZES = ("d_model=160", "encoder_ffn_dim=512", "decoder_ffn_dim=512", "vocab_size=2048")
LAYERS = ("encoder_layers=2", "decoder_layers=2")
HEADS = ("encoder_attention_heads=8", "decoder_attention_heads=8")
MODELS = {
    "T5": ["model=t5_tiny"],
    "BART": [*BART, *(f"model.architecture.{one}" for one in (*SIZES, *LAYERS, *HEADS))],
    TINY: [
        "model=t5_tiny",
        "debug=tiny",
        "data.max_train_samples=4000",
        "data.max_source_length=8",
    ],
}
"""Benchmarked trainings: name to overrides."""
ROWS = 16
"""Rows of a step; the tiny has one in each micro-batch."""


class Clock:
    """Makes batches, and writes down when each was asked for."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate
        self.times: list[tuple[float, float]] = []

    def __call__(self, rows: Any) -> Any:
        """Return what `collate` makes of `rows`."""
        self.times.append((time.perf_counter(), time.process_time()))
        return self._collate(rows)


def prepare(words: list[str], folder: Path) -> TrainingJob:
    """Return the training that a command line describes."""
    quiet = [
        "hardware=cpu",
        "offline=true",
        "training.do_eval=false",
        "training.save_strategy=no",
    ]
    (job,) = check(parse([*words, *quiet]))
    plan = RunPlan(resumes=False, train=True, evaluate=False, predict=False)
    context = prepare_run(job.config, folder, RunRecord(folder, {}), plan)
    assert context.train is not None
    return training_job(
        job.config,
        folder,
        model=context.model,
        tokenizer=context.tokenizer,
        rows=context.train,
        collate=context.collate,
        evaluate=lambda *_: [],
    )


def step_seconds(
    job: TrainingJob, engine: str, weights: dict[str, Any], warm_up: int
) -> dict[str, list[float]]:
    """Train `job` from `weights` with `engine`; return the seconds of each step after `warm_up`."""
    job.model.load_state_dict(weights)
    clock: Any = Clock(job.collate)
    chosen = replace(job.engine, name=engine)
    build_engine(chosen).fit(replace(job, engine=chosen, collate=clock), None)
    starts = clock.times[:: job.training.gradient_accumulation_steps][warm_up:]
    both = zip(*starts, strict=True)
    return {
        name: [after - before for before, after in pairwise(times)]
        for name, times in zip(CLOCKS, both, strict=True)
    }


def measure(job: TrainingJob, pairs: int, warm_up: int) -> list[Pair]:
    """Return what each engine took, pair by pair, after a pair that warms everything up."""
    weights = deepcopy(job.model.state_dict())
    measured = []
    for number in range(pairs + 1):
        order = ENGINES if number % 2 else ENGINES[::-1]
        measured.append({engine: step_seconds(job, engine, weights, warm_up) for engine in order})
    return measured[1:]


def row(pairs: list[Pair]) -> tuple[str, str]:
    """Return the cells of the table, medians over the pairs, and the ratio of each pair."""
    ours, theirs = ENGINES
    steps = len(pairs[0][ours]["wall"])
    cells = [
        f"{statistics.median(steps / sum(pair[engine]['wall']) for pair in pairs):.1f}"
        for engine in ENGINES
    ]
    ratios = {
        clock: [sum(pair[theirs][clock]) / sum(pair[ours][clock]) for pair in pairs]
        for clock in CLOCKS
    }
    cells += [f"{statistics.median(ratios[clock]):.3f}" for clock in CLOCKS]
    # Step by step the work is the same in each pair; what is more than the least is the machine's.
    mine, other = (
        sum(min(step) for step in zip(*(pair[engine]["cpu"] for pair in pairs), strict=True))
        for engine in ENGINES
    )
    cells += [f"{other / mine:.3f}", f"{1000 * (mine - other) / steps:+.2f}"]
    listed = {clock: " ".join(f"{one:.2f}" for one in ratios[clock]) for clock in CLOCKS}
    return " | ".join(cells), "; ".join(f"{clock} {listed[clock]}" for clock in CLOCKS)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=20, help="an even number (default: 20)")
    parser.add_argument("--steps", type=int, default=15, help="of each training (default: 15)")
    parser.add_argument("--warm-up", type=int, default=3, help="steps left out (default: 3)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    args = parser.parse_args()
    # Threads that wait for each other would hide what the loops themselves take.
    torch.set_num_threads(1)
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    ratios = []
    for name in args.models:
        for accumulation in (1, 4):
            steps = args.steps * (10 if name == TINY else 1)
            rows = 1 if name == TINY else ROWS // accumulation
            words = [
                *MODELS[name],
                f"training.max_steps={steps}",
                f"training.per_device_train_batch_size={rows}",
                f"training.gradient_accumulation_steps={accumulation}",
            ]
            with tempfile.TemporaryDirectory() as folder:
                job = prepare([*words, f"output_dir={folder}"], Path(folder))
                cells, listed = row(measure(job, args.pairs, args.warm_up))
            ratios.append(f"{name}, {accumulation}: {listed}")
            print(f"| {name} | {accumulation} | {cells} |", flush=True)
    print("\nPair by pair:\n", *ratios, sep="\n")


if __name__ == "__main__":
    main()
