"""Result files of a run (`*_results.json`), under the names of the Hugging Face scripts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from summexp.run_folder.atomic_files import read_json, write_json

_PHASES = ("train", "eval", "predict")


def save_metrics(folder: Path, phase: str, metrics: Mapping[str, float]) -> None:
    """Write `<phase>_results.json`, and `all_results.json` from the files of every phase."""
    write_json(folder / f"{phase}_results.json", dict(metrics))
    _write_all_results(folder)


def drop_results(folder: Path) -> None:
    """Delete the result files, before training resumes and makes them outdated."""
    for phase in (*_PHASES, "all"):
        (folder / f"{phase}_results.json").unlink(missing_ok=True)


def _write_all_results(folder: Path) -> None:
    parts = [read_json(folder / f"{phase}_results.json") or {} for phase in _PHASES]
    write_json(folder / "all_results.json", {key: part[key] for part in parts for key in part})


def read_metric(folder: Path, name: str) -> float | None:
    """Return a metric of a run, or None if it was not computed."""
    value = (read_json(folder / "all_results.json") or {}).get(name)
    return float(value) if value is not None else None
