"""Writer and reader of a run's `config.yaml`, with every resolved value.

The file is untrusted input. An interpolation would be resolved on this machine, where
`${oc.env:HF_TOKEN}` has a value, and is rejected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.escaping import escaped, interpolates
from summexp.config.files import remove_invalid_entries
from summexp.config.provenance import ChoiceFile
from summexp.config.schema import SECTIONS
from summexp.config.texts import restore_texts
from summexp.errors import ConfigError, Problem
from summexp.paths import display_path

if TYPE_CHECKING:
    from summexp.config.schema import Config

_NO_CONFIG = "this is not the config of a run"
_PLAIN = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null|nan|inf)\Z)[a-z/][\w./-]*", re.I | re.A
)
"""Text that every YAML parser reads as a string without quotes."""


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Quotes text so that YAML 1.1 and 1.2 read it back, including Unicode line separators."""


def _quoted_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if _PLAIN.fullmatch(text) else "'" if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_text)


def saved_yaml(config: Config, header: str) -> str:
    """Return the text of `config.yaml`.

    `overwrite_output_dir` is saved as false, so that loading the file deletes nothing.

    Args:
        config: the config of the run; `load_config` returns an equal one.
        header: comment of the first line, without `#`.
    """
    values = asdict(replace(config, overwrite_output_dir=False))
    comment = " ".join(header.splitlines())
    dumped = yaml.dump(
        escaped(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return f"# {comment}\n{dumped}"


def read_saved(path: Path) -> DictConfig:
    """Return the content of a `config.yaml`, in which every `${` is escaped.

    Raises:
        ConfigError: it cannot be read, or has content that no run saves: interpolations,
            secrets, names of code, unknown keys or wrong types.
    """
    where = display_path(path)
    saved = _load(path, where)
    problems = list(_foreign_entries(saved, where))
    reported = {problem.key for problem in problems}
    entries = remove_invalid_entries([ChoiceFile(where, "", saved)])
    problems += (problem for problem in entries if problem.key not in reported)
    if problems:
        raise ConfigError(problems)
    return saved


_ROOT_SUFFIX = "__run"


def root_name(config_dir: str | None, config_name: str | None) -> str | None:
    """Return Hydra's name of the root config of `--config-name`.

    The config of a run gets a suffix, since its name may be that of a shipped root.
    """
    if saved_root(config_dir, config_name) is None:
        return config_name
    return f"{config_name}{_ROOT_SUFFIX}"


def named_root(root: str | None) -> str | None:
    """Return the `--config-name` of a `root_name`."""
    return root and root.removesuffix(_ROOT_SUFFIX)


def root_flag(word: str) -> bool:
    """Return whether `word` is the `--config-name` flag with such a name."""
    return word.startswith("--config-name=") and word.endswith(_ROOT_SUFFIX)


def saved_root(config_dir: str | None, config_name: str | None) -> Path | None:
    """Return the file of `--config-dir` and `--config-name` if it is a run's config, or None.

    A run's config has no defaults list.
    """
    if config_dir is None or config_name is None:
        return None
    path = Path(config_dir, f"{config_name.removesuffix('.yaml')}.yaml")
    try:
        content = _load(path, display_path(path))
    except ConfigError:
        # An unreadable file is reported when it is read.
        return path if path.is_file() else None
    return None if "defaults" in content else path


def store_root(path: Path, name: str, words: Sequence[str], shipped: DictConfig) -> ChoiceFile:
    """Register the config of a run with Hydra as the root `name`.

    A group chosen by an override is removed from it, and replaced by that choice.

    Args:
        path: the file.
        name: the name returned by `root_name`.
        words: the overrides.
        shipped: the shipped root, for its groups and its `hydra` node.

    Returns:
        The content of the file, for messages.

    Raises:
        ConfigError: as `read_saved`; or it sets `overwrite_output_dir`.
    """
    saved = read_saved(path)
    if saved.get("overwrite_output_dir"):
        what = "deletes a run, and can only be set on the command line"
        hint = "Set it to false in the file, or to true on the command line."
        where = display_path(path)
        raise ConfigError.of(key="overwrite_output_dir", what=what, where=where, hint=hint)
    for group in {word.split("=", 1)[0] for word in words}.intersection(SECTIONS):
        saved.pop(group, None)
    groups = [next(iter(one)) for one in shipped.defaults if isinstance(one, DictConfig)]
    chosen = [{group: None} for group in groups if group in (*SECTIONS, "experiment")]
    logging = [one for one in shipped.defaults if "override hydra/job_logging" in one]
    root = {"defaults": ["schema", "_self_", *chosen, *logging], "hydra": shipped.hydra}
    ConfigStore.instance().store(name=name, node=OmegaConf.merge(root, saved), provider="summexp")
    return ChoiceFile(display_path(path), "", saved)


def _load(path: Path, where: str) -> DictConfig:
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_LOADER)):
            # Nested aliases could expand to more than fits in memory.
            raise ConfigError.of(what=f"{_NO_CONFIG}: it has a YAML alias", where=where)
        saved = OmegaConf.create(text)
        restore_texts(saved, text, "")
    except FileNotFoundError:
        raise ConfigError.of(what="there is no such file", where=where) from None
    except UnicodeDecodeError:
        raise ConfigError.of(what="the file is not UTF-8", where=where) from None
    except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError, AssertionError) as error:
        raise ConfigError.of(what=str(error).splitlines()[0], where=where) from error
    if not isinstance(saved, DictConfig) or not saved:
        raise ConfigError.of(what=_NO_CONFIG, where=where)
    return saved


def _foreign_entries(saved: DictConfig, where: str) -> Iterator[Problem]:
    """Yield entries that a run's config never has: `defaults`, `hydra` and interpolations."""
    content: Any = OmegaConf.to_container(saved)
    for name in ("defaults", "hydra"):
        if name in content:
            what = f"{_NO_CONFIG}, which has no {name}"
            yield Problem(key=name, what=what, where=where)
            del saved[name]
    for key, text in _texts(content):
        if interpolates(text):
            yield Problem(
                key=key,
                what=f"contains the interpolation {text!r}, and a run's config has values only",
                where=where,
                hint="Write the value itself; for literal text, write \\${ instead of ${.",
            )


def _texts(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) for each text below `node`."""
    if isinstance(node, dict):
        for name, inner in node.items():
            yield from _texts(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(node, list):
        for inner in node:
            yield from _texts(inner, path)
    elif isinstance(node, str):
        yield path, node
