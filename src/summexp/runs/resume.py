"""What is left to do in a run folder: begin, go on, evaluate or predict again, or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from summexp.config.escaping import unescaped
from summexp.config.saved import read_saved
from summexp.config.schema import schema_node
from summexp.data.files import digest
from summexp.errors import ConfigError, Problem
from summexp.launch.world import world_size
from summexp.runs.checkpoint_checks import checkpoint_problem
from summexp.runs.checkpoints import checkpoints, damage, holds_progress, is_sealed
from summexp.runs.folder import CONFIG_FILE, check_is_free, read_record
from summexp.runs.record import cores

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
    # The shares are not here: what they hold out is not trained on.
    "data.validation_split",
    "data.validation_file*",
    "data.test_split",
    "data.test_file",
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
    # These two may be traded for each other, and for processes; their product is compared.
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
)
"""Keys that may differ when a run goes on. Every other key is taken to change the training."""

_OF_THE_EVALUATION = (
    "metric.*",
    "generation.*",
    "engine.generation_order",
    "data.validation_*",
    "data.references_column",
    "data.max_eval_samples",
    "data.val_max_target_length",
    "data.language",
    "training.predict_with_generate",
)
_OF_THE_PREDICTION = (
    "metric.*",
    "generation.*",
    "engine.generation_order",
    "data.test_*",
    "data.id_column",
    "data.references_column",
    "data.max_predict_samples",
    "data.long_documents",
    "data.chunk_overlap",
    "data.val_max_target_length",
    "data.language",
)
_HELD_OUT = ("data.train_file", "data.train_split")
"""Keys of the rows that a share is held out of."""

_OF_THE_UPLOAD = ("hub.*", "training.hub_*", "output_dir")


@dataclass(frozen=True)
class RunPlan:
    """What a run has still to do in its folder."""

    goes_on: bool
    """Whether the folder already holds this run."""
    train: bool
    """Whether to train, from the last whole checkpoint if there is one."""
    evaluate: bool
    """Whether to evaluate the final model."""
    predict: bool
    """Whether to predict the test split."""
    push: bool = False
    """Whether to upload the run to the Hub."""

    @property
    def needs_model(self) -> bool:
        """Whether there is anything to do for which the model is needed."""
        return self.train or self.evaluate or self.predict

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return not (self.needs_model or self.push)


def plan_run(config: Config, folder: Path) -> RunPlan:
    """Compare what is asked with what `folder` holds.

    Raises:
        ConfigError: the folder holds a run whose training was configured otherwise (each difference
            is a problem), or files that are not ours under names that a run writes.
    """
    training = config.training
    record = read_record(folder)
    if record is None:
        check_is_free(folder)
    if record is not None and _was_refused(record, folder):
        record = None
    if record is None or config.overwrite_output_dir or "config.yaml" not in _names(folder):
        if training.do_train:
            _check_progress(config, None)
        return RunPlan(
            False, training.do_train, training.do_eval, training.do_predict, training.push_to_hub
        )
    phases = record.get("phases", {})
    train = training.do_train and not _is_trained(config, phases.get("train"))
    saved, asked = _saved(folder), flat(asdict(config))
    problems = list(_differences(saved, asked, folder))
    before = _rows_a_step(saved) * record.get("world_size", 1) * record.get("cores", 1)
    devices = world_size(config.hardware) * cores(config.hardware, record)
    now = _rows_a_step(asked) * devices
    if train and before != now:
        problems.append(_other_batch(before, now, folder))
    ranks = record.get("world_size", 1), world_size(config.hardware)
    if train and training.deepspeed and ranks[0] != ranks[1]:
        what = f"are {ranks[1]} in all; DeepSpeed goes on only with as many as before, {ranks[0]}"
        hint = f"Start as many, {_OR_ELSE}"
        problems.append(Problem(key="hardware.processes", what=what, hint=hint))
    if problems:
        raise ConfigError(problems)
    if train:
        _check_progress(config, folder)
    evaluated = phases.get("eval") == evaluation_digest(config)
    predicted = phases.get("predict") == prediction_digest(config)
    evaluate = training.do_eval and (train or not evaluated)
    predict = training.do_predict and (train or not predicted)
    changes = train or evaluate or predict
    pushed = phases.get("push") == upload_digest(config)
    push = training.push_to_hub and (changes or not pushed)
    return RunPlan(True, train, evaluate, predict, push)


def _was_refused(record: Mapping[str, Any], folder: Path) -> bool:
    """Tell whether a run failed before it had made anything, as one does whose config is wrong."""
    begun = record.get("phases") or checkpoints(folder)
    return record.get("status") == "failed" and not begun


def _check_progress(config: Config, folder: Path | None) -> None:
    """Refuse to resume from a checkpoint that is damaged, or holds nothing but a model."""
    given = config.training.resume_from_checkpoint
    if given:
        if problem := resume_problem(config):
            raise ConfigError(problem)
        return
    # One that was not finished will be passed over.
    sealed = [path for path in checkpoints(folder) if is_sealed(path)] if folder else []
    checkpoint = next(iter(sealed), None)
    if checkpoint is not None and not holds_progress(checkpoint):
        raise ConfigError(
            Problem(
                key="training.save_only_model",
                what=f"{checkpoint} holds a model alone, without the optimizer's state, and a "
                "training cannot go on from that",
                hint=f"Start anew from its weights with model.name_or_path={checkpoint} and "
                "another output_dir.",
            )
        )


def resume_problem(config: Config) -> Problem | None:
    """Return what speaks against `training.resume_from_checkpoint`, quick to find, or None."""
    given = config.training.resume_from_checkpoint
    # That it is not there is found by the rules of the config.
    if not given or not config.training.do_train or not Path(given).is_dir():
        return None
    # A toy has sizes of its own.
    return checkpoint_problem(Path(given), None if config.debug.tiny else config.model)


def verify_checkpoint(config: Config) -> None:
    """Check each byte of the checkpoint that the user named, which takes as long as to read it.

    Raises:
        ConfigError: a file is not as it was written.
    """
    given = config.training.resume_from_checkpoint
    if given and is_sealed(Path(given)) and (reason := damage(Path(given))):
        raise ConfigError(
            Problem(
                key="training.resume_from_checkpoint",
                what=f"{given} is damaged: {reason}",
                hint="Name another checkpoint, or leave the key away.",
            )
        )


def other_settings(config: Config, checkpoint: Path) -> list[str]:
    """Return each setting of the training that the run of a checkpoint had otherwise.

    Args:
        config: of the run that resumes from it.
        checkpoint: one in another run folder; of one elsewhere nothing is known.
    """
    folder = checkpoint.resolve().parent
    if not (folder / CONFIG_FILE).is_file():
        return []
    try:
        saved = _saved(folder)
    except ConfigError:
        return []
    return [problem.key or "" for problem in _differences(saved, flat(asdict(config)), folder)]


def _saved(folder: Path) -> dict[str, Any]:
    """Return the leaves of a run's config."""
    try:
        return flat(unescaped(OmegaConf.to_container(read_saved(folder / CONFIG_FILE))))
    except ConfigError as error:
        what = f"{folder / CONFIG_FILE} cannot be read, so it is not known what was trained there"
        hint = "Choose another output_dir."
        told = Problem(key="output_dir", what=what, hint=hint)
        raise ConfigError([told, *error.problems]) from None


def evaluation_digest(config: Config) -> str:
    """Return a digest of every key that the final scores depend on, the training aside."""
    held_out = config.data.validation_share is not None
    return _digest(config, _OF_THE_EVALUATION + (_HELD_OUT if held_out else ()))


def prediction_digest(config: Config) -> str:
    """Return a digest of every key that the predictions depend on, the training aside."""
    held_out = config.data.test_share is not None
    return _digest(config, _OF_THE_PREDICTION + (_HELD_OUT if held_out else ()))


def upload_digest(config: Config) -> str:
    """Return a digest of every key that says what is uploaded where."""
    return _digest(config, _OF_THE_UPLOAD)


def flat(tree: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a config as dotted keys; lists and empty mappings are leaves."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{path}.{name}" if path else str(name))
    return leaves


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def _digest(config: Config, patterns: tuple[str, ...]) -> str:
    leaves = flat(asdict(config)).items()
    chosen = {key: _content(key, value) for key, value in leaves if _matches(key, patterns)}
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _content(key: str, value: Any) -> Any:
    """Return the digest of a data file in place of its name, and any other value as it is."""
    is_file = key.startswith("data.") and "_file" in key and value and Path(value).is_file()
    return digest(value) if is_file else value


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(key, pattern) for pattern in patterns)


_OR_ELSE = "or choose another output_dir, or overwrite_output_dir=true."


def _differences(saved: dict[str, Any], asked: dict[str, Any], folder: Path) -> Iterator[Problem]:
    hint = f"Set it back to go on, {_OR_ELSE}"
    # A key that is newer than the run had its default.
    defaults = flat(OmegaConf.to_container(schema_node()))
    for key in sorted(saved.keys() | asked.keys()):
        before, now = saved.get(key, defaults.get(key)), asked.get(key)
        if before != now and not _matches(key, _NOT_OF_THE_TRAINING):
            what = f"was {before!r} in the run in {folder}, and is {now!r} now"
            yield Problem(key=key, what=what, hint=hint)


def _other_batch(before: int, now: int, folder: Path) -> Problem:
    return Problem(
        key="training.per_device_train_batch_size",
        what=f"times accumulation steps and processes makes {now} rows a step, and the run in "
        f"{folder} had {before}",
        hint=f"Choose them so that the product is {before} again, {_OR_ELSE}",
    )


def _rows_a_step(leaves: dict[str, Any]) -> int:
    rows = leaves.get("training.per_device_train_batch_size", 1)
    return int(rows) * int(leaves.get("training.gradient_accumulation_steps", 1))


def training_length(config: Config) -> dict[str, float | None]:
    """Return every key that says when the training ends."""
    training, engine = config.training, config.engine
    return {
        "max_steps": training.max_steps,
        "num_train_epochs": training.num_train_epochs,
        "early_stopping_patience": engine.early_stopping_patience,
        "early_stopping_threshold": engine.early_stopping_threshold,
    }


def _is_trained(config: Config, trained: dict[str, Any] | None) -> bool:
    """Tell whether what is asked for was trained already."""
    if trained is None:
        return False
    if trained.get("stopped_early") == training_length(config):
        return True
    if config.training.max_steps > 0:
        return bool(config.training.max_steps <= trained["steps"])
    return bool(config.training.num_train_epochs <= trained["epochs"])
