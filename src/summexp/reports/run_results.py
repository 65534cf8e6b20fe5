"""Results of a run, read from the files of its folder."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.escaping import unescaped
from summexp.data.health import CorpusHealth, Overlap, SplitHealth
from summexp.errors import ConfigError
from summexp.metrics.score import Score
from summexp.run_folder.layout import CONFIG_FILE, PREDICTION_FORMATS, RUN_FILE, predictions_file
from summexp.run_folder.record_file import read_record

_METRIC_FILES = (
    "all_results.json",
    "train_results.json",
    "eval_results.json",
    "predict_results.json",
)
_EXAMPLES_OF_PREDICTIONS = 3


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row with what the model wrote for it."""

    kind: str
    """Why it was chosen: `best`, `worst` or `first`."""
    set_name: str | None
    """The set that it is from: `eval`, `eval_<name>` or `predict`; None where not recorded."""
    ranked_by: str | None
    """The score that makes it the best or the worst; None for one of the first rows."""
    id: str
    """The row's name."""
    document: str | None
    """The beginning of the document; None where it was not kept."""
    reference: str | None
    """The reference summary; None where the row has none."""
    prediction: str
    """The model's summary."""
    scores: Mapping[str, float]
    """Scores of the row by name; empty where it was not scored."""


@dataclass(frozen=True, kw_only=True)
class PredictionsSummary:
    """What a run predicted last."""

    file: str
    """Name of the file in the run folder."""
    source: str | None
    """What the predicted rows are called; None where that was not kept."""
    rows: int | None
    """How many rows were to be predicted."""
    skipped: int
    """How many of these have no document, and an empty prediction."""
    examples: tuple[Example, ...]
    """Some of them."""

    @property
    def note(self) -> str:
        """One line of what is known of them."""
        rows = None
        if self.rows is not None:
            rows = f"{self.rows:,} row{'' if self.rows == 1 else 's'}"
        of = f"of {self.source}" if rows and self.source else None
        skipped = f", {self.skipped:,} skipped" if self.skipped else ""
        return " ".join(filter(None, (rows, of))) + skipped


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """A run as its folder records it. What the run did not get to is None or empty."""

    folder: Path
    """The run folder."""
    status: str
    """`running`, `finished`, `failed` or `interrupted`."""
    reason: str | None
    """Why it failed or was interrupted."""
    argv: tuple[str, ...]
    """The command, program and all."""
    cwd: Path | None
    """The working folder that it was started in."""
    started: dt.datetime | None
    """When the run, or its last part, was begun."""
    ended: dt.datetime | None
    """When it ended."""
    commit: str | None
    """Commit of the checkout that it ran from."""
    dirty: bool
    """Whether that checkout had uncommitted changes."""
    versions: Mapping[str, str]
    """Package name to version."""
    device: str | None
    """What it ran on."""
    world_size: int
    """Number of processes."""
    seconds: Mapping[str, float]
    """Phase to wall-clock seconds."""
    health: CorpusHealth
    """Counts of the corpus."""
    architecture: str | None
    """Class name of the model."""
    parameters: int | None
    """Number of weights."""
    trainable: int | None
    """Number of weights that were trained."""
    target_prefix: str | None = None
    """What a decoder-only model reads after the document; None for an encoder-decoder."""
    adapted: tuple[str, ...]
    """Modules that an adapter changed, which is merged; empty where there was none."""
    scores: tuple[Score, ...]
    """The scores of the validation sets and of the test split."""
    evaluated: Mapping[str, Mapping[str, int]]
    """Of each of these sets, by its name: `samples`, its rows; `scored` of them where not all are;
    `skipped` ones where there are any."""
    signature: str | None
    """How the scores were computed."""
    language: str | None
    """The remark on the language of the summaries."""
    examples: tuple[Example, ...]
    """The rows of the validation set with the best and the worst predictions, or the first ones."""
    predictions: PredictionsSummary | None
    """What was predicted last."""
    config: Mapping[str, Any]
    """The resolved config; empty where the folder has none."""
    config_text: str
    """`config.yaml` as it is written."""
    metrics: Mapping[str, float]
    """Every metric of `all_results.json` and the phases' own files."""
    history: tuple[Mapping[str, float], ...]
    """What was logged during training: `step` and any of `loss`, `eval_loss`, `eval_rougeL`, …"""
    steps: int | None
    """Optimizer steps trained."""

    def option(self, key: str) -> Any:
        """Return the value of a dotted config key, or None where the config has none."""
        value: Any = self.config
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def read_run(folder: Path) -> RunResults:
    """Read a run folder.

    Raises:
        ConfigError: no run was begun there, or one of its files is corrupt.
    """
    record = read_record(folder)
    if record is None:
        raise ConfigError.of(
            what=f"{folder} holds no run",
            hint=f"Name a run folder, which contains {RUN_FILE}.",
        )
    try:
        return _read(folder, record)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise _corrupt(folder / RUN_FILE, error) from error


def _read(folder: Path, record: Mapping[str, Any]) -> RunResults:
    state = _json(folder / "trainer_state.json")
    model, git = record.get("model") or {}, record.get("git") or {}
    config_text = _text(folder / CONFIG_FILE)
    return RunResults(
        folder=folder,
        status=record.get("status", "running"),
        reason=record.get("reason"),
        argv=tuple(record.get("argv", ())),
        cwd=Path(record["cwd"]) if record.get("cwd") else None,
        started=_time(record.get("started")),
        ended=_time(record.get("ended")),
        commit=git.get("commit"),
        dirty=bool(git.get("dirty")),
        versions=record.get("versions") or {},
        device=record.get("device"),
        world_size=record.get("world_size") or 1,
        seconds=record.get("seconds") or {},
        health=_health((record.get("data") or {}).get("health") or {}),
        architecture=model.get("architecture"),
        parameters=model.get("parameters"),
        trainable=model.get("trainable"),
        target_prefix=model.get("target_prefix"),
        adapted=tuple(model.get("adapted") or ()),
        scores=tuple(map(_score, record.get("scores") or ())),
        evaluated={
            _known_set(name): dict(counts)
            for name, counts in (record.get("evaluated") or {}).items()
        },
        signature=record.get("metric"),
        language=record.get("language"),
        examples=tuple(_examples(record.get("examples") or ())),
        predictions=_predictions(folder, record.get("predictions") or {}),
        config=_config(folder / CONFIG_FILE, config_text),
        config_text=config_text,
        metrics=_metrics(folder),
        history=tuple(_numbers(row) for row in state.get("log_history", ())),
        steps=state.get("global_step"),
    )


def _score(record: Mapping[str, Any]) -> Score:
    score = Score(**record)
    _known_set(score.set)
    numbers = (score.value, *(one for one in (score.low, score.high, score.baseline) if one))
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError(f"{score.name} of {score.set} is no number")
    return score


def _known_set(name: str) -> str:
    if name.partition("_")[0] not in ("eval", "predict"):
        raise ValueError(f"there is no set {name!r}")
    return name


def _metrics(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in _METRIC_FILES:
        metrics |= _numbers(_json(folder / name))
    return metrics


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        key: value
        for key, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _health(content: Mapping[str, Any]) -> CorpusHealth:
    return CorpusHealth(
        splits={name: SplitHealth(**split) for name, split in content.get("splits", {}).items()},
        overlaps=[Overlap(**overlap) for overlap in content.get("overlaps", ())],
    )


def _predictions(folder: Path, recorded: Mapping[str, Any]) -> PredictionsSummary | None:
    """Return what was predicted; where `run.json` has no record of it, what the file holds."""
    names = map(predictions_file, PREDICTION_FORMATS)
    files = [name for name in names if (folder / name).is_file()]
    if not files:
        return None
    file = recorded.get("file")
    if file not in files:
        recorded = {}
        file = files[0]
    examples = recorded.get("examples")
    if not isinstance(examples, list):
        examples = _first_predictions(folder / predictions_file("jsonl"))
    return PredictionsSummary(
        file=file,
        source=recorded.get("input"),
        rows=recorded.get("rows"),
        skipped=recorded.get("skipped") or 0,
        examples=tuple(_examples(examples)),
    )


def _examples(recorded: Iterable[Mapping[str, Any]]) -> Iterator[Example]:
    for row in recorded:
        scores = row.get("scores")
        yield Example(
            kind=str(row.get("kind", "first")),
            set_name=row.get("set"),
            ranked_by=row.get("ranked_by"),
            id=str(row.get("id", "")),
            document=row.get("document"),
            reference=row.get("reference") or None,
            prediction=row.get("prediction") or "",
            scores=_numbers(scores if isinstance(scores, Mapping) else row),
        )


def _first_predictions(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    # Only "\n" ends a line here: JSON may hold U+2028 and other line ends of Unicode.
    with path.open(encoding="utf-8", newline="\n") as file:
        lines = list(islice(file, _EXAMPLES_OF_PREDICTIONS))
    try:
        return [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
        raise _corrupt(path, error) from None


@lru_cache(maxsize=1)
def _config(path: Path, text: str) -> dict[str, Any]:
    # Kept, since the card, the report and the terminal of a run show the same one.
    try:
        config = unescaped(OmegaConf.to_container(OmegaConf.create(text)))
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise _corrupt(path, error) from None
    return {str(key): value for key, value in config.items()} if isinstance(config, dict) else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except json.JSONDecodeError as error:
        raise _corrupt(path, error) from None
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None


def _corrupt(path: Path, error: Exception) -> ConfigError:
    return ConfigError.of(
        what=f"{path} is corrupt: {str(error).splitlines()[0]}",
        hint="Run the same command again to rewrite the files.",
    )
