"""Plan of a run: which phases remain in its folder, and whether it may resume there."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from summexp.config.escaping import override, unescaped
from summexp.config.saved import read_saved
from summexp.config.schema import schema_node
from summexp.config.typed import load_config
from summexp.data.files import digest, folder_digest
from summexp.data.split_sources import named_folder
from summexp.distributed.world import world_size
from summexp.errors import ConfigError, Problem
from summexp.metrics.evaluate_scripts import local_script
from summexp.metrics.registry import evaluate_metrics
from summexp.modeling.model_files import model_digest
from summexp.paths import at_home
from summexp.run_folder.checkpoints import checkpoints, has_manifest, holds_progress, verify
from summexp.run_folder.creation import check_is_free
from summexp.run_folder.layout import CONFIG_FILE, predictions_file
from summexp.run_folder.record_file import read_record
from summexp.runs.checkpoint_checks import checkpoint_problem
from summexp.runs.record import OF_THE_MACHINE, TRAINED_COLUMNS, cores, matches

if TYPE_CHECKING:
    from summexp.config.schema import Config

_NOT_OF_THE_TRAINING = (
    "output_dir",
    "overwrite_output_dir",
    "objective",
    "offline",
    "tracking.*",
    "hub.*",
    "metric.*",
    "generation.*",
    "debug.name",
    "debug.profile",
    "debug.detect_anomaly",
    "engine.name",
    "engine.generation_order",
    "engine.early_stopping_*",
    "hardware.*",
    "model.cache_dir",
    # A model that needs it fails without it.
    "model.trust_remote_code",
    # Not the shares: they change the training rows.
    "data.validation_split",
    "data.validation_file*",
    "data.test_split",
    "data.test_file",
    "data.predictions_format",
    "data.id_column",
    "data.references_column",
    "data.max_eval_samples",
    "data.max_predict_samples",
    "data.long_documents",
    "data.chunk_overlap",
    "data.val_max_target_length",
    "data.preprocessing_num_workers",
    "data.overwrite_cache",
    "data.language",
    "training.num_train_epochs",
    "training.max_steps",
    "training.do_*",
    "training.eval_*",
    "training.batch_eval_metrics",
    "training.save_*",
    "training.logging_*",
    "training.log_*",
    "training.disable_tqdm",
    "training.hub_*",
    "training.push_to_hub",
    "training.per_device_eval_batch_size",
    "training.prediction_loss_only",
    "training.predict_with_generate",
    "training.bf16_full_eval",
    "training.fp16_full_eval",
    "training.load_best_model_at_end",
    "training.metric_for_best_model",
    "training.greater_is_better",
    "training.resume_from_checkpoint",
    "training.dataloader_*",
    "training.skip_memory_metrics",
    "training.debug",
    # Only the global batch, the product with the number of processes, is compared.
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
)
"""Keys that may differ when a run resumes. Every other key changes the training."""

_OF_THE_MODEL = ("model.name_or_path", "model.config_name", "model.tokenizer_name")
"""Keys that may name the folder of a model or tokenizer."""
_OF_THE_SUMMARIES = (
    "metric.*",
    "generation.*",
    "engine.generation_order",
    "data.name",
    "data.references_column",
    "data.val_max_target_length",
    "data.language",
)
_OF_THE_EVALUATION = (
    *_OF_THE_SUMMARIES,
    "data.validation_*",
    "data.max_eval_samples",
    "training.predict_with_generate",
)
_OF_THE_PREDICTION = (
    *_OF_THE_SUMMARIES,
    "data.test_*",
    "data.predictions_format",
    "data.text_column",
    "data.summary_column",
    "data.id_column",
    "data.max_predict_samples",
    "data.long_documents",
    "data.chunk_overlap",
)
_COLUMNS = tuple(f"data.{key}" for key in TRAINED_COLUMNS)
_FEW = 3
"""Up to this many differing keys of the model are listed; more are reported as another model."""
_HELD_OUT = ("data.train_file", "data.train_split")
"""Keys of the rows that a share is held out of."""

_OF_THE_UPLOAD = ("hub.*", "training.hub_*", "output_dir")


@dataclass(frozen=True)
class RunPlan:
    """The remaining phases of a run."""

    resumes: bool
    """Whether the folder already holds this run."""
    train: bool
    """Whether to train, from the last complete checkpoint if there is one."""
    evaluate: bool
    """Whether to evaluate the final model."""
    predict: bool
    """Whether to predict the test split."""
    push: bool = False
    """Whether to upload the run to the Hub."""

    @property
    def needs_model(self) -> bool:
        """Whether a remaining phase needs the model."""
        return self.train or self.evaluate or self.predict

    @property
    def is_done(self) -> bool:
        """Whether no phase remains."""
        return not (self.needs_model or self.push)


def plan_run(config: Config, folder: Path) -> RunPlan:
    """Return the remaining phases of a run, from its config and the content of `folder`.

    Raises:
        ConfigError: the folder holds a run with another training config (each difference is a
            problem), or foreign files under names that a run writes.
    """
    training = config.training
    record = read_record(folder)
    if record is None:
        check_is_free(folder)
    if record is not None and was_rejected(record, folder):
        record = None
    if record is None or config.overwrite_output_dir or not (folder / CONFIG_FILE).exists():
        if training.do_train:
            _check_progress(config, None)
        return RunPlan(
            False, training.do_train, training.do_eval, training.do_predict, training.push_to_hub
        )
    phases = record.get("phases", {})
    train = training.do_train and not is_trained(config, phases.get("train"))
    saved = _saved(folder, record)
    problems = list(_differences(saved, config, folder, trains=train))
    if train:
        problems += _other_setup(record, saved, config, folder)
    if training.do_train:
        problems += _replaced(config, record, trains=train)
    if problems:
        problems[-1] = _with_last_resort(problems[-1], folder)
        raise ConfigError(problems)
    if train:
        _check_progress(config, folder)
    trained = "train" in phases
    evaluated = _is_evaluated(config, folder, phases.get("eval"), trained=trained)
    predictions = folder / predictions_file(config.data.predictions_format)
    digest_now = prediction_digest(config, trained=trained)
    predicted = phases.get("predict") == digest_now and predictions.is_file()
    evaluate = training.do_eval and (train or not evaluated)
    predict = training.do_predict and (train or not predicted)
    changes = train or evaluate or predict
    pushed = phases.get("push") == upload_digest(config)
    push = training.push_to_hub and (changes or not pushed)
    return RunPlan(True, train, evaluate, predict, push)


def check_checkpoint(path: str | None) -> Iterator[Problem]:
    """Yield the problem of a missing checkpoint of `training.resume_from_checkpoint`."""
    if path is not None and not os.path.isdir(path):
        yield Problem(
            key="training.resume_from_checkpoint",
            what=f"there is no folder {path}",
            hint="Remove it to resume from the last checkpoint in output_dir.",
        )


def was_rejected(record: Mapping[str, Any], folder: Path) -> bool:
    """Return whether a run failed before its first phase or checkpoint, as with a wrong config."""
    begun = record.get("phases") or checkpoints(folder)
    return record.get("status") == "failed" and not begun


def _check_progress(config: Config, folder: Path | None) -> None:
    """Raise if the checkpoint to resume from is corrupt or holds a model only."""
    given = config.training.resume_from_checkpoint
    if given:
        if problem := resume_problem(config):
            raise ConfigError(problem)
        return
    # Incomplete ones will be skipped.
    complete = [path for path in checkpoints(folder) if has_manifest(path)] if folder else []
    checkpoint = next(iter(complete), None)
    if checkpoint is not None and not holds_progress(checkpoint):
        raise ConfigError.of(
            key="training.save_only_model",
            what=f"{checkpoint} holds a model only, without the optimizer state, and training "
            "cannot resume from it",
            hint=f"Start a new run from its weights with model.name_or_path={checkpoint} and "
            "another output_dir.",
        )


def resume_problem(config: Config) -> Problem | None:
    """Return the problem of `training.resume_from_checkpoint` found without reading it, or None."""
    given = config.training.resume_from_checkpoint
    # `check_checkpoint` reports a missing folder.
    if not given or not config.training.do_train or not Path(given).is_dir():
        return None
    # A tiny model has other sizes.
    return checkpoint_problem(Path(given), None if config.debug.tiny else config.model)


def verify_checkpoint(config: Config) -> None:
    """Verify the digests of the checkpoint that the user named; every file is read.

    Raises:
        ConfigError: a file does not match the manifest.
    """
    given = config.training.resume_from_checkpoint
    if given and has_manifest(Path(given)) and (reason := verify(Path(given))):
        raise ConfigError.of(
            key="training.resume_from_checkpoint",
            what=f"{given} is corrupt: {reason}",
            hint="Name another checkpoint, or remove the key.",
        )


def other_settings(config: Config, checkpoint: Path) -> list[str]:
    """Return the training keys that differ from those of a checkpoint's run.

    Args:
        config: the config of the run that resumes from it.
        checkpoint: a checkpoint in another run folder; the result is empty for one elsewhere.
    """
    folder = checkpoint.resolve().parent
    if not (folder / CONFIG_FILE).is_file():
        return []
    try:
        saved = _saved(folder, read_record(folder) or {})
    except ConfigError:
        return []
    found = _differences(saved, config, folder, trains=True)
    return [problem.key or "" for problem in found]


def read_run_config(folder: Path) -> DictConfig:
    """Return the `config.yaml` of a run folder, which is untrusted input.

    Raises:
        ConfigError: it cannot be read, or holds keys or values that this version does not save.
    """
    path = folder / CONFIG_FILE
    try:
        return read_saved(path)
    except ConfigError as error:
        unread = next((one for one in error.problems if one.key is None), None)
        if unread is not None:
            what = f"cannot read {path}, the config of the run in that folder"
            problem = Problem(
                key="output_dir", what=f"{what}: {unread.what}", hint="Choose another output_dir."
            )
            raise ConfigError(problem) from None
        hint = _of_another_version(read_record(folder) or {})
        raise ConfigError(replace(one, hint=hint) for one in error.problems) from None


def _of_another_version(record: Mapping[str, Any]) -> str:
    """Return a hint for a key of a run folder that this version does not know."""
    # Slow to import.
    from importlib.metadata import version

    now, then = version("summexp"), record.get("versions", {}).get("summexp")
    if then is None or then == now:
        return "This version does not save such a key; remove it, or choose another output_dir."
    return (
        f"The run is of summexp {then}, and this is {now}; use that version, or choose another "
        "output_dir."
    )


def _saved(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of the config with which a run was trained."""
    leaves = flat(unescaped(OmegaConf.to_container(read_run_config(folder))))
    leaves |= trained_columns(record)
    options = record.get("trained_with", {}).get("options")
    if not isinstance(options, dict):
        return leaves
    # A later prediction on another machine may have changed these in the file.
    others = {key: value for key, value in leaves.items() if not matches(key, OF_THE_MACHINE)}
    return others | (flat(options) if options else {})


def trained_columns(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the columns of a run's training, config key to name, from `run.json`.

    `config.yaml` has those of the last command, which may have predicted another file.
    """
    known = record.get("trained_with", {}).get("columns")
    found = known.items() if isinstance(known, dict) else ()
    columns = {f"data.{key}": name for key, name in found if isinstance(name, str | None)}
    return {key: name for key, name in columns.items() if key in _COLUMNS}


def _is_evaluated(config: Config, folder: Path, digest: str | None, *, trained: bool) -> bool:
    """Return whether the final scores are up to date with the config."""
    if digest is None or digest == evaluation_digest(config, trained=trained):
        return digest is not None
    data = config.data
    files = [data.name, data.validation_file, *data.validation_files.values()]
    if data.is_held_out("validation"):
        files.append(data.train_file)
    if not trained:
        files += [_value(config, key) for key in _OF_THE_MODEL]
    if any(Path(at_home(file)).exists() for file in files if file):
        return False
    if data.name is not None and any(
        local_script(metric.path) for metric in evaluate_metrics(config.metric.names)
    ):
        # The rows of a name are still there, and a script may have changed.
        return False
    # Missing files can be neither compared nor evaluated again.
    saved = load_config(folder / CONFIG_FILE)
    then, now = (evaluation_digest(one, trained=trained) for one in (saved, config))
    return then == now


def evaluation_digest(
    config: Config, files: Mapping[str, str] | None = None, *, trained: bool = True
) -> str:
    """Return a digest of every key that the final scores depend on, except the training keys.

    Args:
        config: the config of the run.
        files: config key to the digest of the file or folder that was read for it; a file not
            listed is digested now.
        trained: whether the model was trained in the run folder, and is not the one named by the
            config.
    """
    held_out = config.data.is_held_out("validation")
    keys = _OF_THE_EVALUATION + (_HELD_OUT if held_out else ())
    return _digest(config, keys + (() if trained else _OF_THE_MODEL), files)


def prediction_digest(
    config: Config, files: Mapping[str, str] | None = None, *, trained: bool = True
) -> str:
    """Return a digest of every key that the predictions depend on; see `evaluation_digest`."""
    held_out = config.data.is_held_out("test")
    keys = _OF_THE_PREDICTION + (_HELD_OUT if held_out else ())
    return _digest(config, keys + (() if trained else _OF_THE_MODEL), files)


def model_digests(config: Config) -> dict[str, str]:
    """Return the digest of each folder of a model or tokenizer, by config key."""
    named = {key: _value(config, key) for key in _OF_THE_MODEL}
    now = {key: _content(key, name) for key, name in named.items()}
    return {key: content for key, content in now.items() if content != named[key]}


def upload_digest(config: Config) -> str:
    """Return a digest of every key of the upload."""
    return _digest(config, _OF_THE_UPLOAD)


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a config as dotted keys; lists and empty mappings are leaves."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{path}.{name}" if path else str(name))
    return leaves


def _value(config: Config, key: str) -> Any:
    group, _, name = key.partition(".")
    return getattr(getattr(config, group), name)


def _digest(
    config: Config, patterns: tuple[str, ...], files: Mapping[str, str] | None = None
) -> str:
    read = files or {}
    chosen = {
        key: read[key] if key in read else _content(key, value)
        for key, value in flat(asdict(config)).items()
        if matches(key, patterns)
    }
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(key: str, value: Any) -> Any:
    """Return the digest of a file or folder in place of its name; other values unchanged."""
    if key == "metric.names":
        scripts = (local_script(metric.path) for metric in evaluate_metrics(value))
        return [*value, *(digest(script) for script in scripts if script is not None)]
    if not value or not isinstance(value, str):
        return value
    path = Path(at_home(value))
    if key in _OF_THE_MODEL and path.is_dir():
        return model_digest(path)
    if key == "data.name":
        found = named_folder(value)
        return value if found is None else folder_digest(found)
    is_file = key.startswith("data.") and "_file" in key and path.is_file()
    return digest(value) if is_file else value


def _differences(
    saved: dict[str, Any], config: Config, folder: Path, *, trains: bool
) -> Iterator[Problem]:
    asked = flat(asdict(config))
    # A key added since the run had its default.
    defaults = flat(OmegaConf.to_container(schema_node()))
    others: tuple[str, ...] = _NOT_OF_THE_TRAINING
    if not trains:
        only_predicts = config.training.do_predict and config.data.test_file
        others = (*others, *OF_THE_MACHINE, *(_COLUMNS if only_predicts else ()))
    found = {}
    for key in sorted(saved.keys() | asked.keys()):
        before, now = saved.get(key, defaults.get(key)), asked.get(key)
        if before != now and not matches(key, others):
            found[key] = before
    of_the_model = [key for key in found if key.startswith("model.")]
    if len(of_the_model) > _FEW:
        names = ", ".join(key.removeprefix("model.") for key in of_the_model[:_FEW])
        yield Problem(
            key="model",
            what=f"differs from that of the run in {folder} in {len(of_the_model)} keys "
            f"({names}, …)",
            hint="Remove model=… to resume with the model of the run, or choose another "
            "output_dir.",
        )
        found = {key: before for key, before in found.items() if key not in of_the_model}
    for key, before in found.items():
        what = f"was {before!r} in the run in {folder}, and is {asked.get(key)!r} now"
        yield Problem(key=key, what=what, hint=_back_to(key, before))


def _back_to(key: str, value: Any) -> str:
    """Return a hint for a key that had another value."""
    try:
        word = override(key, value)
    except ConfigError:
        return "Set it back to resume, or choose another output_dir."
    return f"Set {word} to resume, or choose another output_dir."


def _with_last_resort(problem: Problem, folder: Path) -> Problem:
    last = f"To delete the run in {folder} and start a new one: overwrite_output_dir=true."
    return replace(problem, hint=f"{problem.hint}\n    {last}")


def _other_setup(
    record: Mapping[str, Any], saved: dict[str, Any], config: Config, folder: Path
) -> Iterator[Problem]:
    """Yield the problem of another global batch size, or of other ranks of DeepSpeed."""
    trained = {"cores": record.get("cores"), "world_size": record.get("world_size")}
    trained |= record.get("trained_with", {})
    counts = {name: value if isinstance(value, int) else 1 for name, value in trained.items()}
    ranks = counts["world_size"]
    rows = counts.get("rows_a_step", _rows_a_step(saved) * ranks)
    before = rows * counts["cores"]
    asked = flat(asdict(config))
    now = _rows_a_step(asked) * world_size(config.hardware) * cores(config.hardware, record)
    if before != now:
        yield Problem(
            key="training.per_device_train_batch_size",
            what=f"gives, with accumulation steps and processes, a global batch of {now} rows, and "
            f"the run in {folder} had {before}",
            hint=f"Set them so that their product is {before} again, or choose another output_dir.",
        )
    if config.training.deepspeed and ranks != world_size(config.hardware):
        yield Problem(
            key="hardware.processes",
            what=f"gives {world_size(config.hardware)} ranks in all, and DeepSpeed can only resume "
            f"with the {ranks} of before",
            hint=f"Start {ranks} ranks, or choose another output_dir.",
        )


def _replaced(config: Config, record: Mapping[str, Any], *, trains: bool) -> Iterator[Problem]:
    """Yield the problem of each file or folder that was replaced since the run was trained on it.

    Args:
        config: the config of the run.
        record: the record of its last command.
        trains: whether it resumes training, which compares the rows themselves after reading them.
    """
    of_the_rows = {} if trains else record["phases"]["train"].get("files", {})
    read = {**record.get("model", {}).get("files", {}), **of_the_rows}
    for key in (*_OF_THE_MODEL, "data.name", "data.train_file"):
        path = _value(config, key)
        if key not in read or _content(key, path) in (path, read[key]):
            continue
        way = "Set training.do_train=false to use the trained model unchanged"
        if trains:
            way = "Restore the old content to resume"
        yield Problem(
            key=key,
            what=f"{path} has changed since the run in this folder was trained on it",
            hint=f"{way}, or choose another output_dir to train on the new content.",
        )


def _rows_a_step(leaves: dict[str, Any]) -> int:
    rows = leaves.get("training.per_device_train_batch_size", 1)
    return int(rows) * int(leaves.get("training.gradient_accumulation_steps", 1))


def training_length(config: Config) -> dict[str, float | None]:
    """Return the keys that set the length of the training."""
    training, engine = config.training, config.engine
    return {
        "max_steps": training.max_steps,
        "num_train_epochs": training.num_train_epochs,
        "early_stopping_patience": engine.early_stopping_patience,
        "early_stopping_threshold": engine.early_stopping_threshold,
    }


def is_trained(config: Config, trained: Mapping[str, Any] | None) -> bool:
    """Return whether the training of `config` is already complete.

    Args:
        config: the config of the run.
        trained: the phase `train` of `run.json`.
    """
    if trained is None:
        return False
    if trained.get("stopped_early") == training_length(config):
        return True
    if config.training.max_steps > 0:
        return bool(config.training.max_steps <= trained["steps"])
    return bool(config.training.num_train_epochs <= trained["epochs"])
