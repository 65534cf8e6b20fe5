"""What training shows while it goes on: one progress bar, and a line for each evaluation."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

log = logging.getLogger(__name__)


_SHOWN = ("loss", "rouge1", "rouge2", "rougeL")
"""Scores that the line of an evaluation shows."""


class TrainingProgress(TrainerCallback):  # type: ignore[misc]
    """A bar over the optimizer steps that carries the last loss."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        """Show the scores of the validation sets whose metrics begin with `prefixes`."""
        self._bar: tqdm[Any] | None = None
        self._names = [f"{prefix}_{score}" for prefix in prefixes for score in _SHOWN]

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Open the bar at the step that training goes on from."""
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc="training",
                unit="step",
                disable=args.disable_tqdm,
                # A log file gets a line every few seconds, a terminal moves smoothly.
                mininterval=0.2 if sys.stderr.isatty() else 5,
                dynamic_ncols=True,
            )

    def on_step_end(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)

    def on_log(
        self,
        _args: TrainingArguments,
        state: TrainerState,
        _control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_kwargs: Any,
    ) -> None:
        """Show the last loss, or the scores of an evaluation."""
        if self._bar is None or logs is None:
            return
        if "loss" in logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)
        shown = [
            f"{name.removeprefix('eval_')} {logs[name]:.2f}" for name in self._names if name in logs
        ]
        if shown:
            if sys.stderr.isatty():
                self._bar.clear()
            else:
                # In a file the bar is lines of its own.
                print(file=sys.stderr)
            epoch = f"epoch {state.epoch:.3g}, step {state.global_step}"
            log.info("evaluation at %s: %s", epoch, ", ".join(shown))

    def on_train_end(
        self,
        _args: TrainingArguments,
        _state: TrainerState,
        _control: TrainerControl,
        **_kwargs: Any,
    ) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
