"""Choices and config keys for the flags of an old command, and remarks on what changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from summexp.config.escaping import override
from summexp.config.keys import declared, declared_fields
from summexp.config.values import plain
from summexp.errors import ConfigError
from summexp.migrate.choices import (
    CUSTOM_DATASET,
    CUSTOM_MODEL,
    dataset_choice,
    dataset_configuration,
    file_choice,
    model_choice,
    tracking_choice,
)
from summexp.migrate.differences import differences
from summexp.migrate.file_defaults import composed, is_in_file, source_of
from summexp.migrate.flags import Kind, Script
from summexp.migrate.hardware import hardware_settings
from summexp.migrate.launch_environment import environment_settings
from summexp.migrate.launchers import Invocation
from summexp.migrate.script_flags import FLAGS
from summexp.migrate.trackers import others
from summexp.migrate.training_flags import remark_applies

PARITY = "hf_parity"
"""The experiment with the behaviour of the old script."""
GROUPS = ("model", "data", "engine", "hardware", "tracking", "experiment")
"""Groups that a new command may choose from, in its order."""
_FILES = ("data.train_file", "data.validation_file", "data.test_file")
_PHASES = ("training.do_train", "training.do_eval", "training.do_predict")
_LEFT_TO_FILES = (
    *("model.name_or_path", "model.resize_position_embeddings", "data.name", "data.config_name"),
    *("data.text_column", "data.summary_column", "data.val_max_target_length"),
)
"""Keys of a file whose values the old script found out by itself."""
_CHANGED = (
    *("overwrite_output_dir", "ignore_pad_token_for_loss", "optim", "train_sampling_strategy"),
    *("push_to_hub", "checkpointing_steps"),
)
"""Flags that kept their name and changed their meaning."""
_SAMPLING = ("group_by_length", "train_sampling_strategy")
_STRATEGY = "training.train_sampling_strategy"
_HUB_NAMES = ("hub_model_id", "push_to_hub_model_id")


@dataclass
class Translation:
    """A call of an old script as choices and config keys."""

    choices: dict[str, str]
    """Group to file, in the order of `GROUPS`."""
    settings: dict[str, Any]
    """Key to value: those that the files do not set, or set to something else."""
    environment: dict[str, str]
    """Variables in front of the new command."""
    remarks: list[str]
    """What changed, was left out or differs, a sentence each."""

    def words(self) -> list[str]:
        """Return the words that follow `python train.py`."""
        choices = [f"{group}={name}" for group, name in self.choices.items()]
        return [*choices, *(override(key, value) for key, value in self.settings.items())]

    def text(self, key: str) -> str:
        """Return the value of a key in the new run, as an override writes it."""
        base = composed(self.choices)
        value = self.settings[key] if key in self.settings else OmegaConf.select(base, key)
        return override(key, plain(value)).partition("=")[2]


def translate(call: Invocation, given: Mapping[str, Any], *, parity: bool) -> Translation:
    """Translate a call of an old script into choices and config keys.

    Args:
        call: the call.
        given: its flags, name to value.
        parity: whether to keep the old script's own numbers.

    Raises:
        ConfigError: the call runs nothing, names no model or no data, or has no parity.
    """
    if parity and call.script is not Script.TRAINER:
        what = f"--parity is for {Script.TRAINER.value}, not for {call.script.value}"
        raise ConfigError.of(what=what, hint="Leave --parity out.")
    return _Translator(call, given, parity=parity).result()


class _Translator:
    """The translation of one call, a subject at a time."""

    def __init__(self, call: Invocation, given: Mapping[str, Any], *, parity: bool) -> None:
        self._script = call.script
        self._parity = parity
        self._machine = call.machine
        self._given = given
        self._remarks: list[str] = []
        # Key to a remark that holds only if the new command has the key.
        self._if_written: dict[str, str] = {}
        self._environment = {**call.environment, **call.machine.environment}
        # Key to value, as the old command sets it.
        self._settings: dict[str, Any] = dict(call.machine.settings)
        self._implied: dict[str, Any] = {}
        self._choices: dict[str, str] = {}

    def result(self) -> Translation:
        """Return the translation."""
        settings, remarks = environment_settings(self._environment)
        self._remarks += remarks
        for name, value in self._given.items():
            self._take(name, value)
        without = settings.pop("without", None)
        self._settings |= settings
        self._settle_beams()
        self._settle_tracking(without)
        self._settle_phases()
        self._settle_intervals()
        self._settle_checkpoint()
        self._settle_hub()
        self._choose_model()
        self._choose_data()
        self._choose_machine()
        if self._parity:
            self._settle_parity()
        choices = {group: self._choices[group] for group in GROUPS if group in self._choices}
        written = self._written(choices)
        self._remarks += self._machine.remarks
        if not self._parity:
            self._remarks += differences(self._script, self._settings, {*written, *choices})
        return Translation(choices, written, self._environment, self._remarks)

    def _take(self, name: str, value: Any) -> None:
        """Add the settings of one flag, and its remark."""
        flag = FLAGS[self._script][name]
        if flag.is_secret:
            self._remarks.append(f"--{name}: {flag.remark}")
            return
        if self._parity and name in _SAMPLING:
            # Upstream's own order, which is not needed otherwise.
            if value:
                self._settings[_STRATEGY] = name if value is True else value
            return
        settings = flag.settings(value)
        for key, one in settings.items():
            held = self._settings.get(key)
            both = isinstance(held, dict) and isinstance(one, dict)
            self._settings[key] = {**held, **one} if both and held else one
        if not settings and flag.kind is Kind.BOOL and value == flag.default:
            return
        if remark_applies(flag, value) and flag.remark and not flag.now:
            self._remarks.append(f"--{name}: {flag.remark}")
        elif name == "resume_from_checkpoint" and not settings:
            self._remarks.append(f"--{name} {value}: left out, a run in the same folder resumes")
        elif flag.is_renamed and settings and name not in ("report_to", "model_type"):
            about = f"; {flag.remark}" if flag.remark and remark_applies(flag, value) else ""
            self._if_written[next(iter(settings))] = f"--{name}: {_shown(settings)} now{about}"
        elif flag.remark and name in _CHANGED and remark_applies(flag, value):
            self._remarks.append(f"--{name}: {flag.remark}")

    def _settle_beams(self) -> None:
        """Prefer --num_beams wherever it stands, as the old script did."""
        asked = self._given.get("generation_num_beams")
        held = self._given.get("num_beams", 1)
        if asked is None or asked == held:
            return
        is_given = "num_beams" in self._given
        why = f"the old script used --num_beams{'' if is_given else ', whose default is 1'}"
        if self._parity or is_given:
            self._settings["generation.num_beams"] = held
            self._remarks.append(f"--generation_num_beams {asked}: had no effect; {why}")
        else:
            self._remarks.append(f"--generation_num_beams {asked}: takes effect now; {why}")

    def _settle_tracking(self, without: str | None) -> None:
        named = self._given.get("report_to")
        for name in others(named or []):
            self._remarks.append(f"--report_to {name}: not supported; tensorboard and wandb are")
        if self._script is Script.NO_TRAINER:
            if not self._given.get("with_tracking"):
                if named:
                    self._remarks.append("--report_to: had no effect without --with_tracking")
                self._settings.pop("tracking.trackers", None)
                return
            named = named or ["all"]
            self._settings.setdefault("tracking.trackers", ["tensorboard", "wandb"])
        if named and "all" in named:
            self._remarks.append(
                "--report_to all: tensorboard and wandb; tracking=tensorboard needs no account"
            )
        held = self._settings.get("tracking.trackers")
        if held and without in held:
            self._settings["tracking.trackers"] = [name for name in held if name != without]

    def _settle_phases(self) -> None:
        """Set whether each phase runs: not without its flag, other than here."""
        settings = self._settings
        if self._script is Script.NO_TRAINER:
            settings["engine"] = "accelerate"
            return
        if settings.get("training.eval_strategy", "no") != "no":
            settings.setdefault("training.do_eval", True)
        for key in _PHASES:
            if key not in settings:
                settings[key] = self._implied[key] = False
        if self._script is Script.TRAINER:
            if not settings.setdefault("training.predict_with_generate", False):
                self._remarks.append(
                    "--predict_with_generate: not given, so the loss is the only score"
                )
        else:
            self._remarks.append(
                "TensorFlow: no Keras engine yet; engine=trainer trains in PyTorch"
            )
            if "hardware" not in settings:
                self._remarks.append(
                    "the old script used all GPUs: add hardware=ddp8_bf16 hardware.processes=N"
                )
        if not any(settings[key] for key in _PHASES):
            raise ConfigError.of(
                what="the old command neither trains nor evaluates nor predicts",
                hint="Add --do_train, --do_eval or --do_predict to it.",
            )

    def _settle_intervals(self) -> None:
        """Set strategies so that numbers of steps count; the default here is epochs."""
        settings = self._settings
        if "training.save_steps" in settings:
            self._default("training.save_strategy", "steps", "--save_steps")
        is_by_steps = settings.get("training.eval_strategy") == "steps"
        if is_by_steps and settings.get("training.load_best_model_at_end"):
            self._default("training.save_strategy", "steps", "--load_best_model_at_end")
        if "training.eval_steps" in settings and "training.eval_strategy" not in settings:
            self._remarks.append(
                "--eval_steps: has no effect without training.eval_strategy=steps, as before"
            )

    def _default(self, key: str, value: Any, because: str) -> None:
        if key not in self._settings:
            self._settings[key] = value
            self._remarks.append(f"{because}: {key}={value} added, upstream's default")

    def _settle_checkpoint(self) -> None:
        """Keep the checkpoint to resume from if it is inside the folder to overwrite."""
        settings = self._settings
        checkpoint = settings.get("training.resume_from_checkpoint")
        folder = settings.get("output_dir")
        if not (checkpoint and folder and settings.get("overwrite_output_dir")):
            return
        if Path(checkpoint).absolute().is_relative_to(Path(folder).absolute()):
            del settings["overwrite_output_dir"]
            self._remarks.append(
                "--overwrite_output_dir: left out; it would delete the checkpoint to resume from"
            )

    def _settle_hub(self) -> None:
        settings = self._settings
        owner = self._given.get("push_to_hub_organization")
        if owner:
            name = next(
                (self._given[flag] for flag in _HUB_NAMES if flag in self._given),
                Path(settings.get("output_dir") or "summexp").name,
            )
            settings["training.hub_model_id"] = f"{owner}/{name.rpartition('/')[2]}"

    def _choose_model(self) -> None:
        settings = self._settings
        name = settings.get("model.name_or_path")
        if name is None:
            self._model_from_scratch()
        elif "model.init" in settings:
            del settings["model.init"], settings["model.architecture.model_type"]
            self._remarks.append("--model_type: had no effect beside --model_name_or_path")
        self._choices["model"] = model_choice(name)
        if self._choices["model"] != CUSTOM_MODEL:
            # The file has its name, or the one that it has now.
            del settings["model.name_or_path"]

    def _model_from_scratch(self) -> None:
        settings = self._settings
        config_name = settings.get("model.config_name")
        if config_name is None and "model.init" not in settings:
            raise ConfigError.of(
                what="the old command names no model", hint="Add --model_name_or_path."
            )
        if config_name is not None:
            settings.pop("model.architecture.model_type", None)
        settings["model.init"] = "random"
        self._remarks.append("a model from scratch: model.init=random")

    def _choose_data(self) -> None:
        settings = self._settings
        name = settings.get("data.name")
        files = [key for key in _FILES if settings.get(key)]
        if name is None and not files:
            raise ConfigError.of(
                what="the old command names no data",
                hint="Add --dataset_name, or --train_file and --validation_file.",
            )
        if name is None:
            self._choose_files(files)
            return
        for key in files:
            del settings[key]
            self._remarks.append(f"--{key.removeprefix('data.')}: had no effect beside a dataset")
        choice = dataset_choice(name)
        self._choices["data"] = choice
        if choice == CUSTOM_DATASET:
            return
        del settings["data.name"]
        if choice != name:
            self._remarks.append(f"--dataset_name {name}: data={choice} now")
        configuration = dataset_configuration(choice)
        if configuration:
            settings.setdefault("data.config_name", configuration)

    def _choose_files(self, files: list[str]) -> None:
        settings = self._settings
        choices = {key: file_choice(settings[key]) for key in files}
        self._choices["data"] = next(filter(None, choices.values()), "custom_csv")
        names = dict.fromkeys(settings[key] for key, choice in choices.items() if choice is None)
        for one in names:
            self._remarks.append(
                f"{one}: the format follows from the content, as its ending names none"
            )
        if "data.config_name" in settings:
            del settings["data.config_name"]
            self._remarks.append("--dataset_config_name: had no effect on files")

    def _choose_machine(self) -> None:
        settings = self._settings
        found = hardware_settings(self._machine, settings)
        settings.pop("hardware", None)
        if "hardware" in found:
            self._choices["hardware"] = found.pop("hardware")
        settings |= found
        if "engine" in settings:
            self._choices["engine"] = settings.pop("engine")
        tracking = tracking_choice(settings)
        if tracking is not None:
            del settings["tracking.trackers"]
            if tracking != "none":
                self._choices["tracking"] = tracking

    def _settle_parity(self) -> None:
        """Choose the behaviour of the old script; report where the numbers differ all the same."""
        self._choices["experiment"] = PARITY
        settings = self._settings
        hardware = composed({"hardware": self._choices.get("hardware", "auto")}).hardware
        processes = settings.get("hardware.processes", hardware.processes)
        nodes = settings.get("hardware.nodes", hardware.nodes)
        if processes not in (None, 1) or nodes not in (None, 1):
            self._remarks.append("--parity: the numbers are the same in one process only")

    def _written(self, choices: dict[str, str]) -> dict[str, Any]:
        """Return the settings that the new command needs: those that are in no chosen file."""
        base = composed(choices)
        wanted = {**self._settings, **self._old_defaults(base)}
        written = {
            key: value
            for key, value in wanted.items()
            if not is_in_file(base, key, value, may_be_default=key in self._implied)
        }
        reported = {*written, *choices}
        self._remarks += [text for key, text in self._if_written.items() if key in reported]
        return written

    def _old_defaults(self, base: DictConfig) -> dict[str, Any]:
        """Return the flags that were not given, and that a chosen file sets to something else."""
        found = {}
        for flag in FLAGS[self._script].values():
            key = flag.now
            if not key.startswith(("model.", "data.")) or declared(key) != key:
                continue
            if key in self._settings or key in _LEFT_TO_FILES:
                continue
            value, default = OmegaConf.select(base, key), declared_fields()[key].default
            by_hardware = self._choices.get("hardware") == "tpu8" and key.endswith("_to_max_length")
            if value == default or by_hardware:
                continue
            found[key] = default
            now = "removed" if default is None else f"its default {default}"
            in_file = source_of(base, key) or repr(value)
            section = key.partition(".")[0]
            self._remarks.append(
                f"--{flag.name}: not given, so {now}; the file of {section}= has {in_file}"
            )
        return found


def _shown(settings: Mapping[str, Any]) -> str:
    """Return the keys of settings, with the value of what is a choice."""
    return " ".join(f"{key}={one}" if key == "hardware" else key for key, one in settings.items())
