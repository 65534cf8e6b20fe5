"""Composition of a job's config from the tree of choices, with Hydra.

Tested in tests/config/test_precedence.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.plugins.config_source import ConfigLoadError
from omegaconf import DictConfig, OmegaConf

from summexp.config.files import folder_problems, remove_invalid_entries
from summexp.config.hydra_errors import format_error
from summexp.config.provenance import ChoiceFile, files_of, source_of
from summexp.config.saved import root_name, saved_root, store_root
from summexp.config.schema import SECTIONS, schema_node
from summexp.config.texts import restore_texts
from summexp.errors import ConfigError, Problem, nearest, nearest_path
from summexp.run_folder.creation import register_resolvers
from summexp.upstream.hydra import HYDRA_ERRORS, config_loader, edit_files, read_once


def conf_dir() -> Path:
    """Return the folder of the shipped choices: in the wheel, or at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parents[1] / "conf"


def register() -> None:
    """Register the typed schema and the resolvers with Hydra, and keep the texts of files."""
    store = ConfigStore.instance()
    if "schema.yaml" not in store.repo:
        store.store(name="schema", node=schema_node(), provider="summexp")
    register_resolvers()
    edit_files(restore_texts)


@dataclass(frozen=True)
class ChoiceTree:
    """The tree of choices: shipped files and the user's files."""

    loader: ConfigLoader
    """Hydra's config loader."""
    config_name: str = "config"
    """Name of the root config; `conf/config.yaml` by default."""
    has_own_files: bool = False
    """Whether there are files of the user, which must be checked one by one."""
    problems: list[Problem] = field(default_factory=list)
    """Problems of the names in the user's folder."""
    run_config: ChoiceFile | None = None
    """The config of a run, if that is the root."""

    def compose(self, overrides: list[str]) -> tuple[DictConfig, list[Problem]]:
        """Compose the tree of one job, its `hydra` node included.

        Returns:
            The tree, and the problems of the files, whose entries were removed.

        Raises:
            ConfigError: nothing can be composed.
        """
        with read_once(self.loader):
            if not self.has_own_files:
                try:
                    return self._load(overrides), []
                except HYDRA_ERRORS:
                    pass  # checked again, file by file
        with read_once(self.loader):
            problems: list[Problem] = []
            try:
                problems = remove_invalid_entries(
                    files_of(self.loader, self.config_name, overrides)
                )
                return self._load(overrides), problems
            except HYDRA_ERRORS as error:
                problem = format_error(error, self.loader, overrides)
                raise ConfigError([*problems, problem]) from error

    def files(self, overrides: Sequence[str]) -> list[ChoiceFile]:
        """Return the files of a job, the strongest last; empty if it cannot be composed."""
        with read_once(self.loader):
            try:
                files = files_of(self.loader, self.config_name, list(overrides))
            except HYDRA_ERRORS:
                files = []  # reported when it is composed
        return files if self.run_config is None else [self.run_config, *files]

    def locate(
        self, problems: Iterable[Problem], overrides: list[str], last: ChoiceFile | None = None
    ) -> list[Problem]:
        """Add to each problem its source: the file or the command line that set the key.

        Args:
            problems: the problems of one job.
            overrides: the overrides of the job.
            last: a file that overrides those of the tree.
        """
        files = [*self.files(overrides), *([] if last is None else [last])]
        return [
            replace(problem, where=source_of(problem.key, files, overrides))
            if problem.key and not problem.where
            else problem
            for problem in problems
        ]

    def _load(self, overrides: list[str]) -> DictConfig:
        return hydra.compose(self.config_name, overrides, return_hydra_config=True)


@contextmanager
def choice_tree(
    config_dir: str | None = None, config_name: str | None = None, words: Sequence[str] = ()
) -> Iterator[ChoiceTree]:
    """Open the tree of choices, with the user's own folder `config_dir` added to it.

    Args:
        config_dir: a folder of choices, or that of a run.
        config_name: the root; in `config_dir` it may be the config of a run.
        words: the overrides, which may replace groups of a run's config.

    Raises:
        ConfigError: `config_dir` is not a folder, or the run's config is invalid.
    """
    register()
    shipped = conf_dir()
    problems: list[Problem] = []
    saved = saved_root(config_dir, config_name)
    name = root_name(config_dir, config_name) or "config"
    run_config = None
    own = None
    if config_dir is not None:
        own = Path(config_dir)
        if not os.path.isdir(config_dir):
            what = f"--config-dir: {config_dir!r} is not a folder"
            hint = nearest_path(config_dir, own.parent, os.path.isdir)
            raise ConfigError.of(what=what, hint=hint or "Remove --config-dir.")
        problems = list(dict.fromkeys(folder_problems(own, shipped, root=saved)))
    if saved is not None:
        run_config = store_root(saved, name, words, _shipped_root())
    has_own_files = own is not None or any(shipped.glob("local/*.yaml"))
    with config_loader(shipped, own) as loader:
        try:
            yield ChoiceTree(loader, name, has_own_files, problems, run_config)
        except ConfigLoadError as error:
            # Hydra 1.4 does not list a folder with a `.yml` file.
            raise ConfigError(problems or Problem(what=str(error))) from error


def default_choices() -> dict[str, str]:
    """Return the default choices of the shipped root config, group to choice."""
    listed = [one for one in _shipped_root().defaults if isinstance(one, DictConfig)]
    chosen = {str(group): choice for one in listed for group, choice in one.items() if choice}
    return {
        group.removeprefix("optional "): choice
        for group, choice in chosen.items()
        if not group.startswith("override ")
    }


def _shipped_root() -> DictConfig:
    root = OmegaConf.load(conf_dir() / "config.yaml")
    assert isinstance(root, DictConfig)
    return root


def shown_config(tree: DictConfig, package: str | None, *, resolve: bool) -> str:
    """Return the composed config as YAML, like Hydra's `--cfg job`, without composing again.

    Args:
        tree: the composed tree.
        package: the part to show (`training`), or None for all but the `hydra` node.
        resolve: whether to fill in interpolations.

    Raises:
        ConfigError: there is no such part.
    """
    shown: Any = OmegaConf.masked_copy(tree, [str(name) for name in tree if name != "hydra"])
    if package is not None:
        shown = OmegaConf.select(shown, package, default=None)
    if not OmegaConf.is_config(shown):
        hint = nearest(str(package), SECTIONS)
        what = f"--package: there is no group of keys {package!r}"
        raise ConfigError.of(what=what, hint=hint)
    header = "" if package is None else f"# @package {package}\n"
    return header + OmegaConf.to_yaml(shown, resolve=resolve).rstrip("\n")
