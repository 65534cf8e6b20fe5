"""From the flags of an old command to the words of the new one, and what is to be said of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from summexp.check import check
from summexp.command_line import parse
from summexp.config.compose import choice_tree
from summexp.config.escaping import override
from summexp.config.keys import declared, declared_fields
from summexp.config.secrets import looks_secret
from summexp.errors import ConfigError, Problem
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
from summexp.migrate.expansion import HIDDEN, refuse_unknown
from summexp.migrate.flags import Kind, Script
from summexp.migrate.hardware import hardware_settings
from summexp.migrate.launch_environment import environment_settings
from summexp.migrate.launchers import Invocation
from summexp.migrate.script_flags import FLAGS
from summexp.migrate.trackers import others
from summexp.migrate.training_flags import remark_concerns
from summexp.runs.resume import check_checkpoint

PARITY = "hf_parity"
"""The experiment that does as the old script did."""
_GROUPS = ("model", "data", "engine", "hardware", "tracking", "experiment")
_FILES = ("data.train_file", "data.validation_file", "data.test_file")
_PHASES = ("training.do_train", "training.do_eval", "training.do_predict")
_LEFT_TO_FILES = (
    "model.name_or_path",
    "model.resize_position_embeddings",
    "data.name",
    "data.config_name",
    "data.text_column",
    "data.summary_column",
    "data.val_max_target_length",
)
"""Keys of a file that mean what the old script found out by itself."""
_TELLS = (
    "overwrite_output_dir",
    "ignore_pad_token_for_loss",
    "optim",
    "train_sampling_strategy",
    "push_to_hub",
    "checkpointing_steps",
)
"""Flags of the same name whose meaning changed."""
_SAMPLING = ("group_by_length", "train_sampling_strategy")
_STRATEGY = "training.train_sampling_strategy"
_HUB_NAMES = ("hub_model_id", "push_to_hub_model_id")


def translated(
    call: Invocation, given: Mapping[str, Any], *, parity: bool
) -> tuple[list[str], dict[str, str], list[str]]:
    """Say with config keys and choices what a call of an old script said.

    Args:
        call: it.
        given: its flags, name to value.
        parity: whether the numbers are to be the old script's own.

    Returns:
        The words that follow `python train.py`, the variables in front of it, and remarks.

    Raises:
        ConfigError: the call asks for nothing, or for what cannot be.
    """
    if parity and call.script is not Script.TRAINER:
        what = f"--parity is for {Script.TRAINER.value}, and this is {call.script.value}"
        raise ConfigError(Problem(what=what, hint="Leave --parity away."))
    return _Translation(call, given, parity=parity).result()


class _Translation:
    """One command on its way."""

    def __init__(self, call: Invocation, given: Mapping[str, Any], *, parity: bool) -> None:
        self._script = call.script
        self._parity = parity
        self._machine = call.machine
        self._given = given
        self._remarks: list[str] = []
        # Key to what is to be said if it stands in the new command.
        self._if_written: dict[str, str] = {}
        self._environment = {**call.environment, **call.machine.environment}
        # Key to value: what the old command says.
        self._settings: dict[str, Any] = dict(call.machine.settings)
        self._implied: dict[str, Any] = {}
        self._choices: dict[str, str] = {}

    def result(self) -> tuple[list[str], dict[str, str], list[str]]:
        """Return words, variables and remarks."""
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
        words = self._words()
        self._remarks += self._machine.remarks
        self._check(words)
        written = [word.partition("=")[0] for word in words]
        if not self._parity:
            self._remarks += differences(self._script, self._settings, written)
        return words, self._environment, self._remarks

    def _take(self, name: str, value: Any) -> None:
        """Take the settings of one flag, and remark on it."""
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
        if remark_concerns(flag, value) and flag.remark and not flag.now:
            self._remarks.append(f"--{name}: {flag.remark}")
        elif name == "resume_from_checkpoint" and not settings:
            self._remarks.append(f"--{name} {value}: left out, a run in the same folder resumes")
        elif flag.is_renamed and settings and name not in ("report_to", "model_type"):
            about = f"; {flag.remark}" if flag.remark and remark_concerns(flag, value) else ""
            self._if_written[next(iter(settings))] = f"--{name}: {_shown(settings)} now{about}"
        elif flag.remark and name in _TELLS and remark_concerns(flag, value):
            self._remarks.append(f"--{name}: {flag.remark}")

    def _settle_beams(self) -> None:
        """Let --num_beams hold whatever its place, as the old script did."""
        asked = self._given.get("generation_num_beams")
        held = self._given.get("num_beams", 1)
        if asked is None or asked == held:
            return
        is_given = "num_beams" in self._given
        why = f"the old script went by --num_beams{'' if is_given else ', whose default is 1'}"
        if self._parity or is_given:
            self._settings["generation.num_beams"] = held
            self._remarks.append(f"--generation_num_beams {asked}: had no effect; {why}")
        else:
            self._remarks.append(f"--generation_num_beams {asked}: in force now; {why}")

    def _settle_tracking(self, without: str | None) -> None:
        named = self._given.get("report_to")
        for name in others(named or []):
            self._remarks.append(f"--report_to {name}: there are tensorboard and wandb, not this")
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
                "--report_to all: tensorboard and wandb; tracking=tensorboard asks for no account"
            )
        held = self._settings.get("tracking.trackers")
        if held and without in held:
            self._settings["tracking.trackers"] = [name for name in held if name != without]

    def _settle_phases(self) -> None:
        """Say of each phase whether it runs; here they are on where nobody says."""
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
                    "--predict_with_generate: was not given, so nothing is generated or scored but "
                    "the loss"
                )
        else:
            self._remarks.append(
                "the TensorFlow script: there is no Keras engine yet, so engine=trainer trains in "
                "PyTorch"
            )
            if "hardware" not in settings:
                self._remarks.append(
                    "every GPU of the machine was taken: hardware=ddp8_bf16 hardware.processes=N "
                    "does so"
                )
        if not any(settings[key] for key in _PHASES):
            raise ConfigError(
                Problem(
                    what="the old command trains, evaluates and predicts nothing",
                    hint="Add --do_train, --do_eval or --do_predict to it.",
                )
            )

    def _settle_intervals(self) -> None:
        """Let numbers of steps count as they did: here, epochs do where nobody says."""
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
            self._remarks.append(f"{because}: {key}={value} goes with it, upstream's default")

    def _settle_checkpoint(self) -> None:
        """Keep a checkpoint from being deleted with the folder that it lies in."""
        settings = self._settings
        checkpoint = settings.get("training.resume_from_checkpoint")
        folder = settings.get("output_dir")
        if not (checkpoint and folder and settings.get("overwrite_output_dir")):
            return
        if Path(checkpoint).absolute().is_relative_to(Path(folder).absolute()):
            del settings["overwrite_output_dir"]
            self._remarks.append(
                "--overwrite_output_dir: left out; it would delete the checkpoint to go on from"
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
            # The file names it, be it by the name that it has now.
            del settings["model.name_or_path"]

    def _model_from_scratch(self) -> None:
        settings = self._settings
        config_name = settings.get("model.config_name")
        if config_name is None and "model.init" not in settings:
            raise ConfigError(
                Problem(what="the old command names no model", hint="Add --model_name_or_path.")
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
            raise ConfigError(
                Problem(
                    what="the old command names no data",
                    hint="Add --dataset_name, or --train_file and --validation_file.",
                )
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
            self._remarks.append(f"--dataset_name {name}: data={choice} has it")
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
                f"{one}: its ending names no format, so its content will; data=custom_json reads "
                "the same"
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
        """Take the old script's own ways, and say where the numbers cannot be the same."""
        self._choices["experiment"] = PARITY
        settings = self._settings
        hardware = _composed((f"hardware={self._choices.get('hardware', 'auto')}",)).hardware
        processes = settings.get("hardware.processes", hardware.processes)
        nodes = settings.get("hardware.nodes", hardware.nodes)
        if processes not in (None, 1) or nodes not in (None, 1):
            self._remarks.append("--parity: the numbers are the same in one process only")

    def _words(self) -> list[str]:
        """Return the words: choices, what they do not say, and what they say otherwise."""
        choices = [f"{group}={self._choices[group]}" for group in _GROUPS if group in self._choices]
        base = _composed(tuple(choices))
        wanted = dict(self._settings)
        for key, value in self._old_defaults(base).items():
            wanted[key] = value
        written = {key: value for key, value in wanted.items() if self._is_needed(base, key, value)}
        spoken_of = {*written, *self._choices}
        self._remarks += [text for key, text in self._if_written.items() if key in spoken_of]
        return [*choices, *(override(key, value) for key, value in written.items())]

    def _is_needed(self, base: Any, key: str, value: Any) -> bool:
        """Return whether a key has to be set, or whether the chosen files say the same.

        What the old command said aloud is said again even where it is the default of the schema.
        """
        there = OmegaConf.select(base, key)
        is_left_to_us = _of_a_file(base, key) or key in self._implied
        return not (is_left_to_us and _same(there, value))

    def _old_defaults(self, base: Any) -> dict[str, Any]:
        """Return the flags that were not given, and that a chosen file sets to something else."""
        found = {}
        for flag in FLAGS[self._script].values():
            key = flag.now
            if not key.startswith(("model.", "data.")) or declared(key) != key:
                continue
            if key in self._settings or key in _LEFT_TO_FILES:
                continue
            value = OmegaConf.select(base, key)
            by_hardware = (
                self._choices.get("hardware") == "tpu8" and key == "data.pad_to_max_length"
            )
            default = declared_fields()[key].default
            if value == default or by_hardware:
                continue
            found[key] = default
            self._remarks.append(
                f"--{flag.name}: was not given; "
                f"{'left away' if default is None else f'{default}, its default'}, though the file "
                f"of {key.partition('.')[0]}= has {_source(base, key) or repr(value)}"
            )
        return found

    def _check(self, words: list[str]) -> None:
        """Compose what was made, and tell what the schema has against it.

        Raises:
            ConfigError: the old command asked for what neither it nor the new one can do.
        """
        refuse_unknown(words)
        if any(looks_secret(word) or HIDDEN in word for word in words):
            raise ConfigError(
                Problem(
                    what="the old command holds a secret where none belongs",
                    hint="A variable counts as one if its name has a part such as KEY or TOKEN; "
                    "write the value of one that is none.",
                )
            )
        config = check(parse([*words, "--cfg", "job"]))[0].config
        missing = check_checkpoint(config.training.resume_from_checkpoint)
        self._remarks += [f"--resume_from_checkpoint: {one.what} yet" for one in missing]


@cache
def _composed(choices: tuple[str, ...]) -> DictConfig:
    with choice_tree() as tree:
        return tree.compose(list(choices))[0]


def _shown(settings: Mapping[str, Any]) -> str:
    """Return the keys of settings, with the value of what is a choice."""
    return " ".join(f"{key}={one}" if key == "hardware" else key for key, one in settings.items())


def _of_a_file(base: Any, key: str) -> bool:
    """Return whether a file, and not the schema, says what `key` is."""
    if declared(key) != key:
        return False
    return bool(OmegaConf.select(base, key) != declared_fields()[key].default)


def _source(base: DictConfig, key: str) -> str | None:
    """Return the key whose value a file gives to another of its section, or None."""
    section, _, name = key.partition(".")
    written = OmegaConf.to_container(base[section], resolve=False)
    assert isinstance(written, dict)
    match = re.fullmatch(r"\$\{\.(\w+)\}", str(written[name]))
    return f"that of {section}.{match[1]}" if match else None


def _same(one: Any, other: Any) -> bool:
    plain = OmegaConf.to_container(one) if OmegaConf.is_config(one) else one
    return type(plain) is type(other) and bool(plain == other)
