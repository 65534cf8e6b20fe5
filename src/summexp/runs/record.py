"""Record of a run, `run.json`: written at its start and updated until its end."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from summexp.config.saved import saved_yaml
from summexp.config.secrets import looks_secret
from summexp.distributed.world import world_size
from summexp.run_folder.atomic_files import write_json, write_text
from summexp.run_folder.layout import CONFIG_FILE, RUN_FILE, own_names
from summexp.run_folder.record_file import read_record
from summexp.run_folder.storage_errors import release, reserve
from summexp.runs.command import program, relative, run_command

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.data.health import CorpusHealth
    from summexp.distributed.config import HardwareConfig
    from summexp.evaluation.evaluate import EvaluationResult, EvaluationSet

_PACKAGES = (
    "summexp",
    "torch",
    "torch_xla",
    "transformers",
    "datasets",
    "evaluate",
    "rouge-score",
    "accelerate",
    "peft",
    "hydra-core",
    "omegaconf",
    "tokenizers",
    "numpy",
)
_LONGEST_DIFF = 200_000

OF_THE_MACHINE = (
    "training.bf16*",
    "training.fp16*",
    "training.tf32",
    "training.torch_compile*",
    "training.use_liger_kernel",
    "training.liger_kernel_config*",
    "training.accelerator_config*",
    "training.parallelism_config*",
    "training.dataloader_*",
    "training.ddp_*",
    "training.fsdp*",
    "training.deepspeed*",
    "training.debug",
)
"""Training keys that depend on the machine; weights trained with one value load with any other."""

TRAINED_COLUMNS = ("text_column", "summary_column", "id_column")
"""Keys of `data` that may differ for the test file of a later prediction."""

_KEPT = (
    "choices",
    "trained_with",
    "phases",
    "files",
    "data",
    "model",
    "signatures",
    "metric",
    "language",
    "examples",
    "predictions",
    "scores",
    "evaluated",
    "seconds",
)
"""Entries that a resumed run keeps from the earlier command."""


def _phase(set_name: str) -> str:
    return set_name.partition("_")[0]


def matches(key: str, patterns: tuple[str, ...]) -> bool:
    """Return whether one of the patterns, such as `hardware.*`, matches a key."""
    return any(fnmatch(key, pattern) for pattern in patterns)


class RunRecord:
    """The content of `run.json`, with methods that update the file."""

    def __init__(self, folder: Path, content: dict[str, Any], *, writes: bool = True) -> None:
        """Hold `content`; only the rank with `writes` writes it to `folder`."""
        self.folder = folder
        self.content: dict[str, Any] = {"seconds": {}, "phases": {}, "files": []} | content
        self._writes = writes
        # Files that were here before the run belong to somebody else, whatever their names.
        self._foreign = set(own_names(folder)) - set(self.content["files"])

    def update(self, **entries: Any) -> None:
        """Set entries and write the file."""
        self.content |= entries
        if not self._writes:
            return
        written = set(own_names(self.folder)) - self._foreign
        self.content["files"] = sorted({*self.content["files"], *written, RUN_FILE})
        write_json(self.folder / RUN_FILE, self.content)

    def add_data(
        self, *, fingerprints: dict[str, str], columns: dict[str, Any], health: CorpusHealth
    ) -> None:
        """Record the splits of this command beside those of earlier commands in the folder."""
        known = self.content.setdefault("data", {})
        before = known.get("fingerprints", {})
        changed = {name for name, value in fingerprints.items() if before.get(name) != value}
        known["fingerprints"] = {**before, **fingerprints}
        known["columns"] = {**known.get("columns", {}), **columns}
        counts = health.to_json()
        earlier = known.get("health", {"splits": {}, "overlaps": []})
        # Overlaps of a split whose rows have changed are outdated.
        overlaps = {
            (one["split"], one["also_in"]): one
            for one in earlier["overlaps"]
            if not {one["split"], one["also_in"]} & changed
        }
        overlaps |= {(one["split"], one["also_in"]): one for one in counts["overlaps"]}
        splits = {**earlier["splits"], **counts["splits"]}
        known["health"] = {"splits": splits, "overlaps": list(overlaps.values())}

    def add_scores(
        self, phase: str, results: Iterable[tuple[EvaluationSet, EvaluationResult]]
    ) -> None:
        """Record the scores and the row counts of a phase, `eval` or `predict`, for the old ones.

        Of each set: `samples`, its rows; `scored` of them, where these are not all; and `skipped`
        ones, where there are any.
        """
        kept = [
            one
            for one in self.content.get("scores", [])
            if isinstance(one, dict) and _phase(str(one.get("set"))) != phase
        ]
        earlier = self.content.get("evaluated", {})
        counts = {name: one for name, one in earlier.items() if _phase(name) != phase}
        for rows, found in results:
            kept += map(asdict, found.scores)
            counts[rows.name] = {"samples": len(rows.tokens), **found.counts}
        self.content |= {"scores": kept, "evaluated": counts}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the wall-clock seconds of a phase."""
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.content["seconds"].get(name, 0.0) + time.perf_counter() - started
            self.content["seconds"][name] = round(seconds, 3)
            # Another process may record the end of the run, from this file.
            self.update()

    def publish(self, progress: dict[str, Any]) -> None:
        """Record the progress of a phase."""
        self.update(progress=progress)

    def publish_evaluation(self, progress: dict[str, Any]) -> None:
        """Record the progress of an evaluation during training, beside that of the training."""
        self.update(progress={**self.content.get("progress", {}), "evaluation": progress})

    def end(self, status: str, reason: str | None = None) -> None:
        """Record the final status (`finished`, `failed` or `interrupted`) and its reason."""
        if self._writes:
            release(self.folder)
        if status == "finished":
            self.content.pop("progress", None)
        self.update(status=status, reason=reason, ended=_now())


def begin(config: Config, folder: Path, *, resumes: bool) -> RunRecord:
    """Write `config.yaml` and `run.json` at the start of a run, or when it resumes."""
    words = run_command(folder)
    content: dict[str, Any] = {
        "status": "running",
        "reason": None,
        "argv": words,
        "command": shlex.join(words),
        "cwd": str(Path.cwd()),
        "choices": _choices(),
        "started": _now(),
        "ended": None,
        "git": git_state(_checkout()),
        "versions": _versions(),
        "device": None,
        "devices": [],
        "world_size": world_size(config.hardware),
    }
    earlier = read_record(folder) if resumes else None
    content["cores"] = cores(config.hardware, earlier or {})
    training = config.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    # Kept by a later command that only predicts, perhaps on another machine.
    content["trained_with"] = {
        "rows_a_step": rows * content["world_size"],
        "world_size": content["world_size"],
        "cores": content["cores"],
        "options": _machine_options(config),
        "columns": {key: getattr(config.data, key) for key in TRAINED_COLUMNS},
    }
    if earlier is not None:
        content |= {name: earlier[name] for name in _KEPT if name in earlier}
        content["resumed_from"] = earlier.get("status")
    record = RunRecord(folder, content)
    record.update()
    reserve(folder)
    write_text(folder / CONFIG_FILE, saved_yaml(config, _header(folder)))
    record.update()
    return record


def _machine_options(config: Config) -> dict[str, Any]:
    """Return the keys in `OF_THE_MACHINE` that are set, dotted key to value."""
    options = {
        f"training.{spec.name}": getattr(config.training, spec.name)
        for spec in fields(config.training)
        if getattr(config.training, spec.name) != spec.default
    }
    return {key: value for key, value in options.items() if matches(key, OF_THE_MACHINE)}


def _choices() -> dict[str, str]:
    """Return the chosen files of `conf/`, group to name."""
    if not HydraConfig.initialized():
        return {}
    chosen: Any = OmegaConf.to_container(HydraConfig.get().runtime.choices)
    return {
        group: name
        for group, name in chosen.items()
        if isinstance(name, str) and group != "local" and not group.startswith("hydra/")
    }


def _header(folder: Path) -> str:
    """Return the header of `config.yaml`, with the command that composes it again."""
    name = Path(CONFIG_FILE).stem
    words = [*program(), "--config-dir", relative(folder.absolute()), "--config-name", name]
    return f"resolved config of this run; to compose it again: {shlex.join(words)}"


def cores(hardware: HardwareConfig, earlier: Mapping[str, Any]) -> int:
    """Return the number of devices of one process; more than one on a TPU only.

    The number of a TPU's cores is unknown before it is initialized, and is taken from the `earlier`
    record.
    """
    if hardware.backend != "xla":
        return 1
    return hardware.virtual_devices or int(earlier.get("cores", 1))


def reopen(folder: Path) -> RunRecord:
    """Return the record of a run that another process has started."""
    return RunRecord(folder, read_record(folder) or {})


def _checkout() -> Path:
    """Return the checkout of summexp, or the working folder if summexp is installed."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / ".git").exists() else Path.cwd()


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit and uncommitted changes of the checkout around `folder`, or None."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    diff = _git(folder, "diff", "HEAD") or ""
    if looks_secret(diff):
        diff = "removed: it contains a secret"
    return {"commit": commit.strip(), "dirty": bool(diff), "diff": diff[:_LONGEST_DIFF]}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
