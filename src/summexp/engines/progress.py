"""Progress of a run: a bar on a terminal, lines in the log, and numbers in `run.json`."""

from __future__ import annotations

import datetime as dt
import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerState

log = logging.getLogger(__name__)

Publish = Callable[[dict[str, Any]], None]
"""Writes the progress to `run.json`."""

_SECONDS = 10.0
"""Minimum interval between two reports."""
_LINES = 60
"""The interval of log lines is at least the elapsed time divided by this."""


class Progress:
    """Reports the progress of a loop: its first and last position, and others at intervals."""

    def __init__(
        self,
        phase: str,
        unit: str,
        total: int,
        *,
        publish: Publish,
        done: int = 0,
        nested: bool = False,
    ) -> None:
        """Start a loop.

        Args:
            phase: `train`, or the name of the evaluated set.
            unit: the unit of the count, such as `step`.
            total: total number of units.
            publish: called with the progress at intervals.
            done: number of units done before, by the run that is resumed.
            nested: whether the loop is nested in another, and is reported only if it takes long.
        """
        self.facts: dict[str, float] = {}
        """Further values, by their names in `run.json`: `loss`, `learning_rate`, …"""
        self.total, self.done = total, done
        self._phase, self._unit, self._publish = phase, unit, publish
        self._first, self._started = done, time.monotonic()
        self._reported_at = self._line_at = self._started if nested else -math.inf
        self._nested, self._is_reported = nested, True
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=total,
                initial=done,
                desc="training" if phase == "train" else phase,
                unit=unit,
                mininterval=0.2,
                dynamic_ncols=True,
                # The bar of an evaluation in training disappears; the log has the scores.
                leave=None,
            )

    def advance(self, count: int) -> None:
        """Add to the count."""
        self.done += count
        self._is_reported = False
        if self._bar is not None:
            if "loss" in self.facts:
                self._bar.set_postfix(loss=f"{self.facts['loss']:.3f}", refresh=False)
            self._bar.update(count)
        if time.monotonic() - self._reported_at >= _SECONDS:
            self._report()

    def extend(self, count: int) -> None:
        """Add to the total."""
        self.total += count
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.refresh()

    def close(self) -> None:
        """Report the last position, and close the bar."""
        if not (self._is_reported or self._nested):
            self._line_at = -math.inf
            self._report()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _report(self) -> None:
        self._is_reported = True
        now = self._reported_at = time.monotonic()
        elapsed = now - self._started
        rate = (self.done - self._first) / elapsed if elapsed else 0.0
        left = (self.total - self.done) / rate if rate else None
        self._publish(
            {
                "phase": self._phase,
                self._unit: self.done,
                f"total_{self._unit}s": self.total,
                **self.facts,
                f"{self._unit}s_per_second": round(rate, 3),
                "seconds_left": None if left is None else round(left),
                "updated": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            }
        )
        if now - self._line_at >= max(_SECONDS, elapsed / _LINES):
            self._line_at = now
            line = self._line(rate, left)
            # The bar shows the same on the terminal.
            log.info("%s", line) if self._bar is None else _log_to_file(line)

    def _line(self, rate: float, left: float | None) -> str:
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        parts = [f"{self._phase}: {self._unit} {self.done} of {self.total}{share}"]
        parts += [f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.facts.items()]
        parts.append(f"{rate:.3g} {self._unit}s/s")
        if left is not None and self.done < self.total:
            parts.append(f"{dt.timedelta(seconds=round(left))} left")
        return ", ".join(parts)


def _log_to_file(line: str) -> None:
    record = log.makeRecord(log.name, logging.INFO, __file__, 0, line, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


class TrainingProgress(TrainerCallback):
    """Trainer callback that reports steps and evaluations, on rank 0."""

    def __init__(
        self, shown: Sequence[str] = ("eval_loss",), publish: Publish = lambda _: None
    ) -> None:
        """Prepare to report a training.

        Args:
            shown: the metrics that the line of an evaluation shows, such as `eval_rougeL`.
            publish: takes the progress for `run.json`.
        """
        self._publish = publish
        self._progress: Progress | None = None
        self._names = shown

    def on_train_begin(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Start at the step from which training resumes."""
        if state.is_world_process_zero:
            done = state.global_step
            self._progress = Progress(
                "train", "step", state.max_steps, publish=self._publish, done=done
            )

    def on_step_end(self, args: Any, state: TrainerState, *_: Any, **_kwargs: Any) -> None:
        """Count the step."""
        if self._progress is not None:
            self._progress.facts["epoch"] = state.epoch or 0.0
            self._progress.advance(state.global_step - self._progress.done)

    def on_log(
        self,
        args: Any,
        state: TrainerState,
        control: Any,
        logs: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Store the last loss, or log the scores of an evaluation."""
        if self._progress is None or logs is None:
            return
        self._progress.facts |= {
            name: logs[name] for name in ("loss", "learning_rate") if name in logs
        }
        shown = [
            f"{name.removeprefix('eval_')} {logs[name]:.2f}" for name in self._names if name in logs
        ]
        if shown:
            where = f"step {state.global_step}, epoch {state.epoch:.3g}"
            log.info("eval: %s", ", ".join([where, *shown]))

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Report the last step."""
        self.close()

    def close(self) -> None:
        """Report the last step, if training ended early."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None
