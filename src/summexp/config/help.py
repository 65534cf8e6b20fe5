"""Text of `--help`: groups and choices, flags, and all keys with their docs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field
from pathlib import Path
from typing import Any

from summexp.config.aliases import ALIASES, NO_EFFECT
from summexp.config.compose import ChoiceTree, choice_tree, default_choices
from summexp.config.keys import allowed_values, declared_fields, is_mapping
from summexp.config.schema import SECTIONS, Config
from summexp.config.values import shown
from summexp.options import field_docs

WIDTH = 100
"""Maximum width of the text, in columns."""

_OWN_GROUPS = ("experiment", "local")
_HYDRA_GROUPS = ("hydra/launcher", "hydra/sweeper")

_USAGE = """\
usage: python train.py [FLAG ...] [GROUP=CHOICE ...] [KEY=VALUE ...]

Fine-tune, evaluate and predict with a summarization model. A choice is a YAML file of a group;
a key on the command line overrides every file.

examples:
  python train.py
  python train.py model=t5_small data=cnn_dailymail hardware=gpu_bf16 training.learning_rate=3e-4
  python train.py data=custom_csv data.train_file=train.csv data.validation_file=dev.csv
  python train.py -m model=t5_tiny seed=1,2,3

flags:
  -m, --multirun       run a sweep: every combination of the values separated by commas
  -c, --cfg job        print the composed config and run nothing; --resolve fills in ${...}
  -p, --package KEY    with --cfg, print this part only
  -cd, --config-dir D  add your own folder of choices: D/model/mine.yaml becomes model=mine
  -cn, --config-name N compose N.yaml instead of config.yaml
  -i, --info [WHAT]    show how the config is composed: defaults, defaults-tree, searchpath
  --hydra-help         show Hydra's help
  -h, --help           show this help
  --version            show the version"""

_NOTES = """\
values: true, false, null, 3, 1e-4, text, [a,b], {a: 1}; quote spaces and commas: 'key="a, b"'
secrets: HF_TOKEN and WANDB_API_KEY are read from the environment, never from a key"""


def help_text(config_dir: str | None = None) -> str:
    """Return the help text, including the choices in the user's folder `config_dir`.

    Raises:
        ConfigError: `config_dir` is not a folder.
    """
    with choice_tree(config_dir) as tree:
        groups = list(_groups(tree))
    return "\n".join([_USAGE, "", *groups, "", _NOTES, "", *_keys()])


def _groups(tree: ChoiceTree) -> Iterator[str]:
    yield "groups and their choices:"
    defaults = default_choices()
    for group in (*SECTIONS, *_OWN_GROUPS, *_HYDRA_GROUPS):
        options = tree.loader.get_group_options(group)
        if not options:
            continue
        chosen = defaults.get(group)
        yield f"\n{group}={f'   (default: {chosen})' if chosen else ''}"
        for name in options:
            yield from _entry(name, first_comment(_path_of(tree, f"{group}/{name}")) or "", 24)


def _path_of(tree: ChoiceTree, name: str) -> Path | None:
    for source in tree.loader.get_sources():
        path = Path(source.path, f"{name}.yaml")
        if source.scheme() == "file" and path.is_file():
            return path
    return None


def first_comment(path: Path | None) -> str | None:
    """Return the first comment of a choice file, after its package header: its description."""
    if path is None:
        return None
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                return None
            if not line.startswith("# @package"):
                return line.lstrip("# ").rstrip()
    return None


def _keys() -> Iterator[str]:
    docs = field_docs(Config)
    yield "keys:\n"
    for name in docs:
        if name not in SECTIONS:
            yield from _entry(f"{name} = {_default(declared_fields()[name])}", docs[name], 4)
    for section in SECTIONS:
        yield f"\n{section}: {_in_a_sentence(docs[section])}"
        section_docs = field_docs(SECTIONS[section])
        for name, doc in section_docs.items():
            key = f"{section}.{name}"
            if key in ALIASES or key in NO_EFFECT:
                continue
            yield from _entry(f"{key}{_type(key)} = {_default(declared_fields()[key])}", doc, 4)


def _in_a_sentence(doc: str) -> str:
    return f"{doc[0].lower()}{doc[1:].rstrip('.')}"


def _type(key: str) -> str:
    """Return the type of a key, or its allowed values, in brackets."""
    if key in allowed_values():
        return f" ({'|'.join(allowed_values()[key])})"
    if is_mapping(key):
        return " (mapping)"
    kinds = [part.strip() for part in str(declared_fields()[key].type).split("|")]
    kinds = [part for part in kinds if part not in ("None", "Any")]
    return f" ({'|'.join(kinds)})" if kinds else ""


def _default(spec: Field[Any]) -> str:
    if spec.default_factory is not MISSING:
        value = spec.default_factory()
        return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else "{}"
    return (
        '""'
        if spec.default == ""
        else str(spec.default)
        if isinstance(spec.default, str)
        else shown(spec.default)
    )


def _entry(head: str, doc: str, indent: int) -> Iterator[str]:
    """Yield `head` and its text, wrapped, side by side if they fit."""
    if indent > 4 and len(head) < indent - 2:
        yield from textwrap.wrap(
            doc, WIDTH, initial_indent=f"  {head:{indent - 2}}", subsequent_indent=" " * indent
        ) or [f"  {head}"]
        return
    yield from textwrap.wrap(head, WIDTH, initial_indent="  ", subsequent_indent="      ")
    yield from textwrap.wrap(doc, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
