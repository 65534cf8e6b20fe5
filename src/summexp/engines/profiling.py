"""Profiler of training steps (`debug=profile`): time and memory.

Tested in tests/integration/test_choices.py.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule
from transformers import TrainerCallback

log = logging.getLogger(__name__)

_ROWS_SHOWN = 20


class StepProfiler(TrainerCallback):
    """Profiles six training steps after two warm-up steps, into a table and a trace."""

    def __init__(self, folder: Path) -> None:
        """Write `steps.txt` and `trace.json` (for chrome://tracing or Perfetto) into `folder`."""
        self._folder = folder
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=1, warmup=1, active=6, repeat=1),
            on_trace_ready=self._write,
            profile_memory=True,
        )

    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Start."""
        self._profile.start()

    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Count a step."""
        self._profile.step()

    def on_train_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Stop."""
        self._profile.stop()

    def _write(self, profiled: Any) -> None:
        self._folder.mkdir(exist_ok=True)
        by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = profiled.key_averages().table(sort_by=by, row_limit=_ROWS_SHOWN)
        (self._folder / "steps.txt").write_text(table, encoding="utf-8")
        profiled.export_chrome_trace(str(self._folder / "trace.json"))
        log.info("wrote the profile of the training steps to %s", self._folder / "steps.txt")
