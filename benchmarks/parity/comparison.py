"""Comparison of the results of both programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCORES = ("loss", "rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len")
"""Of an evaluation; the old script prints four digits of each behind the point."""
DIGITS = 4
MORE_ROWS = "rows without a document or a summary are predicted too"


@dataclass(frozen=True)
class Outcome:
    """What one run left."""

    steps: list[dict[str, Any]]
    """For each training step `batch`, tensor name to its numbers, and `loss`, not rounded."""
    generated: list[dict[str, Any]]
    """For each batch that was generated before the last training step: `source`, `tokens`."""
    log: list[dict[str, Any]]
    """`log_history` of its `trainer_state.json`."""
    results: dict[str, float]
    """Its `all_results.json`."""
    predictions: str
    """The generated texts of the rows with a document and a summary, a line end between them."""


@dataclass(frozen=True)
class Line:
    """One thing of both runs."""

    what: str
    old: str
    new: str
    is_equal: bool
    on_purpose: str = ""
    """Why it may differ; empty where it must not."""

    @property
    def is_fine(self) -> bool:
        """Return whether it is as it should be."""
        return self.is_equal or bool(self.on_purpose)

    @property
    def cells(self) -> str:
        """The row of a Markdown table."""
        verdict = "yes" if self.is_equal else "**no**"
        if self.on_purpose and not self.is_equal:
            verdict = f"no, on purpose: {self.on_purpose}"
        return f"| {self.what} | {self.old} | {self.new} | {verdict} |"


def old_outcome(folder: Path, record: Path) -> Outcome:
    """Read what the old script left in `folder`."""
    return _outcome(folder, record, (folder / "generated_predictions.txt").read_text("utf-8"))


def new_outcome(folder: Path, record: Path, as_written: Callable[[str], str]) -> Outcome:
    """Read what train.py left in `folder`.

    Args:
        folder: the run folder.
        record: what its Trainer worked on.
        as_written: does to a prediction what the old script does to it before it writes it.
    """
    lines = (folder / "generated_predictions.jsonl").read_text("utf-8").split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    texts = [as_written(row["prediction"]) for row in rows if "rouge1" in row]
    return _outcome(folder, record, "\n".join(texts))


def _outcome(folder: Path, record: Path, predictions: str) -> Outcome:
    seen = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    last = max(number for number, one in enumerate(seen) if one["kind"] == "step")
    return Outcome(
        steps=[one for one in seen if one["kind"] == "step"],
        generated=[one for one in seen[:last] if one["kind"] == "generated"],
        log=json.loads((folder / "trainer_state.json").read_text("utf-8"))["log_history"],
        results=json.loads((folder / "all_results.json").read_text("utf-8")),
        predictions=predictions,
    )


def compare(old: Outcome, new: Outcome) -> Iterator[Line]:
    """Yield everything that both have, in the order of a run."""
    yield _many(
        "training batches, every tensor", *(_column(one.steps, "batch") for one in (old, new))
    )
    for name, key in (("loss", "loss"), ("gradient norm", "grad_norm"), ("rate", "learning_rate")):
        both = [_column(one.log, key) for one in (old, new)]
        yield _many(f"{name} of each step, as logged", *both)
    yield _many(
        "loss of each step, all digits", *(_column(one.steps, "loss") for one in (old, new))
    )
    yield from _numbers(old, new, ["train_loss", "train_samples", "epoch"])
    if old.generated or new.generated:
        yield _many("tokens generated while training", old.generated, new.generated)
        for name in SCORES:
            both = [
                [round(one, DIGITS) for one in _column(run.log, f"eval_{name}")][:-1]
                for run in (old, new)
            ]
            # The old script evaluates once more at the end, and logs that too.
            yield _many(f"eval_{name} while training", both[0][: len(both[1])], both[1])
    yield from _numbers(old, new, [*(f"eval_{name}" for name in SCORES), "eval_samples"])
    yield from _numbers(old, new, [f"predict_{name}" for name in SCORES])
    yield from _numbers(old, new, ["predict_samples"], on_purpose=MORE_ROWS)
    texts = [one.predictions.split("\n") for one in (old, new)]
    yield _many("predicted texts of the rows that both have", *texts)


def _column(rows: Iterable[dict[str, Any]], key: str) -> list[Any]:
    return [row[key] for row in rows if key in row]


def _many(what: str, old: Sequence[Any], new: Sequence[Any]) -> Line:
    """Compare two lists; where they are not equal, show the first pair that is not."""
    if old and list(old) == list(new):
        shown = _shown(old)
        return Line(what, shown, shown, True)
    if not old and not new:
        return Line(what, "none", "none", False)
    pairs = enumerate(zip(old, new, strict=False))
    first = next((number for number, (one, other) in pairs if one != other), None)
    if first is None:
        return Line(what, f"{len(old)}", f"{len(new)}", False)
    at = f"{len(old)}; number {first + 1}: {_brief(old[first])}"
    return Line(what, at, f"{len(new)}; {_brief(new[first])}", False)


def _shown(values: Sequence[Any]) -> str:
    if isinstance(values[0], float):
        return f"{len(values)}: {values[0]:.6g} … {values[-1]:.6g}"
    return f"{len(values)}"


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _numbers(
    old: Outcome, new: Outcome, names: Iterable[str], on_purpose: str = ""
) -> Iterator[Line]:
    """Compare results to the digits that the old script prints."""
    for name in names:
        both = [one.results.get(name) for one in (old, new)]
        rounded = [None if value is None else round(value, DIGITS) for value in both]
        shown = ["none" if value is None else f"{value:.{DIGITS}f}" for value in rounded]
        shown = [text.removesuffix(".0000") for text in shown]
        is_equal = rounded[0] is not None and rounded[0] == rounded[1]
        yield Line(name, shown[0], shown[1], is_equal, on_purpose)
