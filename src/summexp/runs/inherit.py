"""Values that a command inherits from the `config.yaml` of its run folder.

`python train.py output_dir=out1 training.do_predict=true data.test_file=new.csv` is enough for a
folder that holds a run: the groups model, data, training, generation, metric, engine and peft are
taken from there, unless the command line sets them. Keys that delete, publish, run foreign code or
depend on the machine are never inherited.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from summexp.config.aliases import ALIASES
from summexp.config.compose import ChoiceTree
from summexp.config.escaping import escaped, override, unescaped
from summexp.config.keys import declared_fields
from summexp.config.provenance import ChoiceFile
from summexp.config.schema import SECTIONS
from summexp.config.typed import read_tree
from summexp.config.values import plain
from summexp.errors import ConfigError
from summexp.metrics.evaluate_metric import PREFIX, EvaluateMetric
from summexp.metrics.registry import evaluate_metrics
from summexp.paths import display_path
from summexp.run_folder.layout import CONFIG_FILE
from summexp.run_folder.record_file import read_record
from summexp.runs.record import OF_THE_MACHINE, matches
from summexp.runs.resume import is_trained, read_run_config, trained_columns, was_rejected

_SECTIONS = ("model", "data", "training", "generation", "metric", "engine", "peft")
_NEVER = (
    "model.trust_remote_code",
    "model.cache_dir",
    "metric.evaluate_kwargs",
    "data.overwrite_cache",
    "data.preprocessing_num_workers",
    "training.do_*",
    "training.push_to_hub",
    "training.hub_*",
    "training.resume_from_checkpoint",
    *OF_THE_MACHINE,
    *ALIASES,
)
"""Keys of these sections that are never inherited."""

_ALTERNATIVES = (
    {"training.max_steps", "training.num_train_epochs"},
    {"data.validation_file", "data.validation_files"},
    {"generation.max_length", "generation.max_new_tokens"},
)
"""Alternative keys: if the command line sets one, the other is unset."""

_LENGTH = ("training.max_steps", "training.num_train_epochs")
"""Keys that only an override sets, not a chosen file: a model or debug file sets a length that the
user who chooses it did not ask for."""


@dataclass(frozen=True)
class Inherited:
    """The values that a command inherits from its run folder."""

    file: ChoiceFile
    """The folder's `config.yaml`, reduced to the inherited keys."""
    values: dict[str, Any]
    """Key to value, as written in the file."""
    overridden: tuple[str, ...]
    """Keys inside of a mapping that the command line sets; they are kept."""
    changed: tuple[str, ...]
    """Keys whose value differs from the one that the command alone would give."""

    def apply(self, tree: DictConfig) -> None:
        """Set the values in a composed tree."""
        with open_dict(tree):
            given = {key: escaped(_plain_value(tree, key)) for key in self.overridden}
            for key, value in {**self.values, **given}.items():
                OmegaConf.update(tree, key, value, merge=False, force_add=True)

    def __str__(self) -> str:
        """Format the inherited sections in one line."""
        sections = Counter(key.partition(".")[0] for key in self.changed)
        counted = [
            f"{name} ({count})" if name in SECTIONS else name for name, count in sections.items()
        ]
        return f"inherited from {self.file.path}: {', '.join(counted)}"


def inherited(tree: ChoiceTree, composed: DictConfig, words: Sequence[str]) -> Inherited | None:
    """Return the values that a command inherits from its `output_dir`, or None.

    None if the folder holds no run or is to be overwritten, or if the user named a root config
    (`--config-name`), which is complete.

    Args:
        tree: the choices.
        composed: the composed config of the command.
        words: its overrides.

    Raises:
        ConfigError: the folder's `config.yaml` is invalid.
    """
    folder = _folder(composed)
    if folder is None or tree.config_name != "config":
        return None
    record = read_record(folder)
    path = folder / CONFIG_FILE
    if record is None or was_rejected(record, folder) or not path.is_file():
        return None
    saved = read_run_config(folder)
    columns = {key: escaped(name) for key, name in trained_columns(record).items()}
    values = dict(_values(saved)) | columns
    if values.get("data.name") is not None and _differs(composed, "training.do_predict", True):
        # A test file is given beside a dataset only for prediction.
        values.pop("data.test_file", None)
    given = _Given.of(tree, composed, words, values)
    if foreign := evaluate_metrics(values.get("metric.names") or ()):
        _check_named(given, foreign, saved, path)
        del values["metric.names"]
    found = {key: value for key, value in values.items() if not given.gives(key)}
    same = {key: value for key, value in values.items() if given.gives_same_choice(key, record)}
    result = _build(path, found, composed, given)
    if any(_differs(composed, key, value) for key, value in same.items()):
        trial = composed.copy()
        result.apply(trial)
        config = read_tree(trial).config
        # To train further, the chosen files must be unchanged.
        trained = (record.get("phases") or {}).get("train")
        if config is None or not config.training.do_train or is_trained(config, trained):
            result = _build(path, found | same, composed, given)
    return result if result.changed else None


def _check_named(
    given: _Given, metrics: Sequence[EvaluateMetric], saved: DictConfig, path: Path
) -> None:
    """Check that the command line names the metrics itself, where they run the code of others.

    Raises:
        ConfigError: it does not.
    """
    if given.gives("metric.names"):
        return
    names = plain(OmegaConf.select(saved, "metric.names"))
    own = [name for name in names if not name.startswith(PREFIX)]
    words = [override("metric.names", names)]
    kwargs = plain(OmegaConf.select(saved, "metric.evaluate_kwargs")) or {}
    words += [
        override(f"metric.evaluate_kwargs.{metric}.{key}", value)
        for metric, arguments in kwargs.items()
        for key, value in arguments.items()
    ]
    without = f"\nOr leave it out: {shlex.quote(override('metric.names', own))}" if own else ""
    raise ConfigError.of(
        key="metric.names",
        what=f"{metrics[0].name}, which {display_path(path)} names, runs code that is not "
        "summexp's, and is not taken from a folder",
        hint=f"Name it on the command line: {shlex.join(words)}{without}",
    )


def _folder(composed: DictConfig) -> Path | None:
    try:
        name, anew = composed.output_dir, composed.overwrite_output_dir
    except OmegaConfBaseException:
        return None  # reported with the other problems
    return Path(name) if isinstance(name, str) and not anew else None


def _values(saved: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield (key, value as written) for each key that may be inherited."""
    values: Any = OmegaConf.to_container(saved)
    for key in declared_fields():
        section, _, name = key.partition(".")
        if key != "seed" and (section not in _SECTIONS or matches(key, _NEVER)):
            continue
        node = values.get(section, {}) if name else values
        if (last := name or section) in node:
            yield key, node[last]


@dataclass(frozen=True)
class _Given:
    """The keys that the command line sets, by overrides or by chosen files."""

    keys: frozenset[str]
    """Keys of the overrides."""
    changed: frozenset[str]
    """Those with another value in the folder."""
    files: tuple[ChoiceFile, ...]
    """Files chosen by the overrides, directly or through another file."""

    @classmethod
    def of(
        cls, tree: ChoiceTree, composed: DictConfig, words: Sequence[str], values: dict[str, Any]
    ) -> _Given:
        keys = frozenset(word.split("=", 1)[0].lstrip("+~") for word in words)
        outer = {_outer(key) for key in keys}.intersection(values)
        changed = frozenset(key for key in outer if _differs(composed, key, values[key]))
        usual = {file.path for file in tree.files([])}
        chosen = (f for f in tree.files(words) if f.path not in usual or f.group in keys)
        return cls(keys, changed, tuple(chosen))

    def by_override(self, key: str) -> bool:
        """Return whether an override sets the key or an alternative to it."""
        return key in self.keys or self.replaces(key)

    def replaces(self, key: str) -> bool:
        """Return whether an override changes an alternative to the key."""
        return any(key in pair and self.changed & (pair - {key}) for pair in _ALTERNATIVES)

    def by_files(self, key: str) -> list[ChoiceFile]:
        """Return the chosen files of a key: those of its section and those that set it."""
        if key in _LENGTH:
            return []
        section = key.partition(".")[0]
        return [file for file in self.files if file.group == section or file.sets(key)]

    def gives(self, key: str) -> bool:
        """Return whether the command line sets a key."""
        return self.by_override(key) or bool(self.by_files(key))

    def gives_same_choice(self, key: str, record: dict[str, Any]) -> bool:
        """Return whether only files set a key, and the run had chosen the same files."""
        chosen = record.get("choices") or {}
        files = self.by_files(key)
        then = all(chosen.get(file.group) == file.choice for file in files)
        return not self.by_override(key) and bool(files) and then


def _build(path: Path, found: dict[str, Any], composed: DictConfig, given: _Given) -> Inherited:
    values = dict(found)
    for key in set().union(*_ALTERNATIVES):
        if (
            given.replaces(key)
            and key not in {*map(_outer, given.keys)}
            and not given.by_files(key)
        ):
            values[key] = _default(key)
    content = OmegaConf.create()
    for key, value in found.items():
        OmegaConf.update(content, key, value, merge=False)
    inside = (key for key in given.keys if key not in values and _outer(key) in values)
    changed = (key for key, value in found.items() if _differs(composed, key, value))
    return Inherited(
        file=ChoiceFile(display_path(path), "", content),
        values=values,
        overridden=tuple(inside),
        changed=tuple(changed),
    )


def _default(key: str) -> Any:
    spec = declared_fields()[key]
    return {} if key == "data.validation_files" else spec.default


def _outer(key: str) -> str:
    return ".".join(key.split(".")[:2])


def _differs(composed: DictConfig, key: str, value: Any) -> bool:
    try:
        return bool(_plain_value(composed, key) != unescaped(value))
    except OmegaConfBaseException:
        return True  # an interpolation that cannot be resolved


def _plain_value(tree: DictConfig, key: str) -> Any:
    return plain(OmegaConf.select(tree, key), resolve=True)
