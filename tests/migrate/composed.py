"""New commands, read by a shell, by Hydra and by the typed schema."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import Any

from omegaconf import OmegaConf

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.migrate.command import Migration, migrate
from summexp.migrate.file_defaults import composed as composed_choices
from summexp.migrate.flag_parser import given_flags
from summexp.migrate.launchers import read_invocation
from summexp.migrate.shell import read_shell
from summexp.migrate.translation import Translation, translate

FLAGS = (
    "--model_name_or_path t5-small --dataset_name cnn_dailymail --do_train --do_eval "
    "--predict_with_generate --output_dir out --source_prefix 'summarize: '"
)
SCRIPT = f"examples/pytorch/summarization/run_summarization.py {FLAGS}"
"""A command of the script with a Trainer, without `python`."""


def migrated(command: str, *, parity: bool = False) -> Migration:
    """Migrate a text with one command."""
    (one,) = migrate(command, parity=parity)
    return one


def translated(command: str, *, parity: bool = False) -> Translation:
    """Translate a text with one command, without composing the new one, which takes longer."""
    text = read_shell(command)
    assert text.problems == []
    ((statement,),) = text.calls
    call = read_invocation(statement)
    return translate(call, given_flags(call.script, call.arguments), parity=parity)


def value_of(translation: Translation, key: str) -> Any:
    """Return the value of a key in the new run: what the command sets, or the chosen files."""
    if key in translation.settings:
        return translation.settings[key]
    parents = [name for name in translation.settings if key.startswith(f"{name}.")]
    assert not parents, f"{parents} set {key} as a whole"
    value = OmegaConf.select(composed_choices(translation.choices), key)
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def values_of(translation: Translation, keys: Iterable[str]) -> dict[str, Any]:
    """Return the values of several keys."""
    return {key: value_of(translation, key) for key in keys}


def words_of(line: str) -> list[str]:
    """Return the words that follow `python train.py`, variables in front left out."""
    words = shlex.split(line)
    start = words.index("python")
    assert all("=" in word for word in words[:start])
    assert words[start + 1] == "train.py"
    return words[start + 2 :]


def jobs_of(line: str) -> list[Config]:
    """Compose the jobs of a printed line as `train.py` would, without looking at this machine."""
    assert "\n" not in line
    command = replace(parse(words_of(line)), starts_a_run=False)
    assert command.problems == []
    return [job.config for job in check(command)]


def composed(line: str) -> Config:
    """Compose a printed line of one job."""
    (config,) = jobs_of(line)
    return config


def value_at(config: Config, key: str) -> Any:
    """Return the value of a dotted key."""
    value: Any = reduce(
        lambda node, name: node.get(name) if hasattr(node, "get") else getattr(node, name),
        key.split("."),
        config,
    )
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
