"""The tree of choices, and what Hydra composes from it for one job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from summexp.config.provenance import source_of
from summexp.config.schema import schema_node
from summexp.errors import ConfigError, Problem
from summexp.runs.folder import register_resolvers


def conf_dir() -> Path:
    """Return the folder of the shipped choices: in the wheel, or at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    shipped = package / "conf"
    return shipped if shipped.is_dir() else package.parents[1] / "conf"


def register() -> None:
    """Make the typed schema and our resolvers known to Hydra."""
    setbase("1.3")
    ConfigStore.instance().store(name="schema", node=schema_node(), provider="summexp")
    register_resolvers()


@dataclass(frozen=True)
class ChoiceTree:
    """The shipped choices and the user's own, open for composing."""

    loader: ConfigLoader
    """Hydra's view of the folders."""
    config_name: str = "config"
    """The root that is composed; `conf/config.yaml` where the user names no other."""

    def compose(self, overrides: list[str]) -> DictConfig:
        """Compose the tree of one job, its `hydra` node included.

        Raises:
            ConfigError: Hydra or OmegaConf objected; told in words.
        """
        try:
            return self.loader.load_configuration(
                config_name=self.config_name,
                overrides=overrides,
                run_mode=RunMode.RUN,
                validate_sweep_overrides=False,
            )
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_in_words(error)) from error

    def locate(self, problems: Iterable[Problem], overrides: list[str]) -> list[Problem]:
        """Add to each problem the file or the command-line word that set its key."""
        return [
            replace(problem, where=source_of(problem.key, self.loader, self.config_name, overrides))
            if problem.key and not problem.where
            else problem
            for problem in problems
        ]


@contextmanager
def choice_tree(
    config_dir: str | None = None, config_name: str | None = None
) -> Iterator[ChoiceTree]:
    """Open the tree of choices, with the user's own folder `config_dir` added to it.

    Raises:
        ConfigError: `config_dir` is not a folder.
    """
    register()
    search_path = create_config_search_path(str(conf_dir()))
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise ConfigError(f"--config-dir {config_dir!r} is not a folder")
        search_path.append("command-line", str(Path(config_dir).resolve()))
    hydra = Hydra.create_main_hydra2(task_name="train", config_search_path=search_path)
    try:
        yield ChoiceTree(hydra.config_loader, config_name or "config")
    finally:
        GlobalHydra.instance().clear()


def _in_words(error: BaseException) -> Problem:
    """Tell what Hydra or OmegaConf objected to, without their advice to add a plus."""
    noise = ("To append", "full_key", "object_type", "Set the environment variable")
    lines: dict[str, None] = {}
    cause: BaseException | None = error
    while cause is not None:
        for line in map(str.strip, str(cause).splitlines()):
            if line and not line.startswith(noise):
                lines[line] = None
        cause = cause.__cause__
    return Problem(what="; ".join(lines))
