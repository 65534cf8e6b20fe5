"""Private and unstable names of Hydra in use, and the errors that it tells apart by text only.

Checked with hydra-core 1.3.8 and 1.4.0rc3; tests/upstream/test_hydra.py fails where one differs.
"""

from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_repository import (
    CachingConfigRepository,
    ConfigRepository,
    IConfigRepository,
)
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobReturn, run_job
from hydra.errors import HydraException

# InputStream is antlr4's, which 1.4 has inside of omegaconf
from hydra.grammar.gen.OverrideLexer import (  # type: ignore[attr-defined]
    CommonTokenStream,
    InputStream,
    OverrideLexer,
)
from hydra.grammar.gen.OverrideParser import OverrideParser
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode, TaskFunction
from hydra.version import setbase
from omegaconf import Container, DictConfig, read_write
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

VERSION_BASE = "1.3"
"""Version of Hydra whose defaults hold."""
CORE_PLUGINS = "hydra._internal.core_plugins."
"""Module prefix of Hydra's own launcher and sweeper, which a composed config names."""
HYDRA_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, ValueError, AssertionError)
"""Exceptions for an invalid file or override (for a defaults list also plain ones)."""

_OPENING = (OverrideLexer.BRACE_OPEN, OverrideLexer.BRACKET_OPEN, OverrideLexer.POPEN)
_CLOSING = (OverrideLexer.BRACE_CLOSE, OverrideLexer.BRACKET_CLOSE, OverrideLexer.PCLOSE)
_CONVERTED = (OverrideLexer.INT, OverrideLexer.FLOAT, OverrideLexer.BOOL)
_FILES = "file://"
_load_config = ConfigRepository.load_config


def set_version_base() -> None:
    """Set the version base in a process that neither `hydra.main` nor `initialize…` has begun."""
    setbase(VERSION_BASE)


def args_parser(on_error: Callable[[str], NoReturn]) -> ArgumentParser:
    """Return the parser of Hydra's flags, which is not public.

    Args:
        on_error: called with the message of an error, in place of printing it and exiting.
    """
    parser: ArgumentParser = get_args_parser()
    # Without `exit_on_error`, argparse (3.11) still exits on an ambiguous flag.
    parser.error = on_error  # type: ignore[assignment, method-assign]
    return parser


def entry_count(override: str) -> int:
    """Return how many entries the mapping of an override has, those of the same name included.

    Of two equal names (in Python, 1 equals true) the parsed value (of 1.3) has the last one only.

    Args:
        override: `key={a: 1, b: 2}`; the mapping is not empty.
    """
    depth = commas = 0
    for token in OverrideLexer(InputStream(override)).getAllTokens():
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
        commas += token.type == OverrideLexer.COMMA and depth == 1
    return commas + 1


def quoted_primitives(override: str) -> str:
    """Return an override with quotes around what its parser would convert: numbers and booleans.

    In a list, a null too. Names of entries, and arguments of functions other than `choice` and
    `shuffle`, are left as they are.
    """
    lexer = OverrideLexer(InputStream(override))
    parser = OverrideParser(CommonTokenStream(lexer))
    for one in (lexer, parser):
        one.removeErrorListeners()
    tree = parser.override()  # type: ignore[no-untyped-call]
    if parser.getNumberOfSyntaxErrors():
        return override
    for token in reversed([*_converted(tree)]):
        override = f'{override[: token.start]}"{token.text}"{override[token.stop + 1 :]}'
    return override


def _converted(node: Any) -> Iterator[Any]:
    """Yield the token of each text below `node` that would become a number, boolean or null."""
    if isinstance(node, OverrideParser.FunctionContext) and node.getChild(0).getText() not in (
        "choice",
        "shuffle",
    ):
        return
    if isinstance(node, OverrideParser.PrimitiveContext):
        tokens = [leaf.symbol for leaf in node.getChildren()]
        alone = [token for token in tokens if token.type != OverrideLexer.WS]
        in_list = isinstance(node.parentCtx.parentCtx, OverrideParser.ListContainerContext)
        types = (*_CONVERTED, OverrideLexer.NULL) if in_list else _CONVERTED
        if len(alone) == 1 and alone[0].type in types:
            yield alone[0]
        return
    for index in range(node.getChildCount()):
        child = node.getChild(index)
        is_option = index and isinstance(node.getChild(index - 1), OverrideParser.ArgNameContext)
        if not is_option:
            yield from _converted(child)


def edit_files(edit: Callable[[Container, str, str], None]) -> None:
    """Have `edit` change the content of each YAML file that Hydra reads in this process.

    Args:
        edit: a function of the content, the text of the file, and the package of the content,
            dotted and empty for the root.
    """

    def load(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        result = _load_config(repository, config_path)
        if result is not None and result.path.startswith(_FILES):
            name = f"{config_path.removesuffix('.yaml')}.yaml"
            text = Path(result.path.removeprefix(_FILES), name).read_text(encoding="utf-8")
            package = result.header.get("package") or "_group_"
            group = config_path.rpartition("/")[0].replace("/", ".")
            package = package.replace("_global_", "").replace("_group_", group)
            edit(result.config, text, package)
        return result

    ConfigRepository.load_config = load  # type: ignore[method-assign, assignment]


@contextmanager
def config_loader(shipped: Path, own: Path | None) -> Iterator[ConfigLoader]:
    """Initialize Hydra's `compose`, and yield its loader, which stays valid afterwards.

    Args:
        shipped: the folder of choices, which Hydra names `main`.
        own: a weaker folder of choices, which it names `command-line`. Only `--config-dir` of
            `hydra.main` adds one in 1.3; `initialize_config_search_path` of 1.4 takes several.
    """
    with initialize_config_dir(str(shipped), job_name="train", version_base=VERSION_BASE):
        loader: Any = GlobalHydra.instance().config_loader()
        if own is not None:
            search_path = loader.get_search_path()
            # Hydra wants its schema last.
            anchor = SearchPathQuery(provider="schema")
            search_path.prepend("command-line", str(own.resolve()), anchor=anchor)
            loader.repository.initialize_sources(search_path)
        loader.repository = _Repository(loader.repository)
        yield loader


@contextmanager
def read_once(loader: ConfigLoader) -> Iterator[None]:
    """Read each choice file once during the block.

    What is removed from the content of `chosen_files` is absent from a tree composed in the same
    block. Composing modifies the content, so a block serves one job.

    Args:
        loader: a loader of `config_loader`.
    """
    shared: Any = loader
    plain = shared.repository
    shared.repository = _Repository(plain.delegate)
    try:
        yield
    finally:
        shared.repository = plain


class _Repository(CachingConfigRepository):
    """A cache that is shared by the copies that Hydra makes at every step."""

    def __init__(self, delegate: IConfigRepository) -> None:
        self.delegate = delegate
        self.cache = {}

    def __deepcopy__(self, _memo: dict[int, Any]) -> _Repository:
        return self


@dataclass(frozen=True)
class ChosenFile:
    """A config in the defaults list of a job."""

    name: str
    """`model/t5_tiny`, without extension."""
    folder: str
    """`file://` and the folder of the search path that it is in, or another scheme."""
    provider: str
    """Hydra's name of that folder: `main`, `command-line`, `hydra`."""
    package: str
    """Package of its content in the tree, dotted; empty for the root."""
    content: Container
    """Content with unresolved interpolations, without the defaults list."""


def chosen_files(
    loader: ConfigLoader, config_name: str, overrides: list[str]
) -> Iterator[ChosenFile]:
    """Yield the configs of a job, the strongest last, in a block of `read_once`.

    Raises:
        Exception: one of `HYDRA_ERRORS`, in a defaults list.
    """
    shared: Any = loader
    for default in loader.compute_defaults_list(config_name, overrides, RunMode.RUN).defaults:
        path = default.config_path
        loaded = shared.repository.load_config(path) if path else None
        if loaded is not None:
            package = default.package or ""
            yield ChosenFile(path, loaded.path, loaded.provider, package, loaded.config)


def run_composed(tree: DictConfig, loader: ConfigLoader, task: TaskFunction) -> JobReturn:
    """Run a job as `hydra.main` does, with its folder, log and callbacks, without composing again.

    Args:
        tree: the composed tree of the job, with its `hydra` node.
        loader: the loader that composed it.
        task: the function to run.
    """
    with read_write(tree.hydra):
        tree.hydra.mode = RunMode.RUN
    callbacks = Callbacks(tree)
    name = tree.hydra.job.config_name
    callbacks.on_run_start(config=tree, config_name=name)
    done = run_job(
        hydra_context=HydraContext(config_loader=loader, callbacks=callbacks),
        task_function=task,
        config=tree,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    callbacks.on_run_end(config=tree, config_name=name, job_return=done)
    return done


class Mistake(Enum):
    """A mistake that Hydra and OmegaConf report by text, as a pattern of that text."""

    NO_CHOICE = r"Could not (?:find|load) '(?:(?P<group>[\w/.-]+)/)?(?P<name>[^'/]+)'"
    """A defaults list or an override names a file that does not exist."""
    NO_GROUP = (
        r"(?:Could not override|No earlier Group Default for) '(?P<group>[^']+)'"
        r"(?:\.\s+No match in the defaults list| exists to override)"
    )
    """A defaults list overrides a group that is not in one (the second text is that of 1.4)."""
    CHOSEN_TWICE = r"Multiple values for (?P<group>[\w/]+)\."
    """A defaults list chooses two files of a group."""
    NO_ROOT = r"Cannot find primary config '(?P<name>[^']+)'"
    """`--config-name` names a file that does not exist."""
    EXISTS = r"An item is already at '(?P<name>[^']+)'"
    """An override adds (`+`) a key that exists."""
    NOT_KEYS = r"Merge error: \w+ is not a subclass"
    """A file has a list or a value in place of keys."""


class HydraReport(NamedTuple):
    """What the text of an error says."""

    mistake: Mistake | None
    """The mistake, if it is one of those."""
    group: str
    """The group that it names, or empty."""
    name: str
    """The file or key that it names, or empty."""
    inside: str | None
    """The config with the mistake, as Hydra names it: `experiment/mine`."""


_INSIDE = re.compile(r"\b[Ii]n '([\w/.-]+)'")
_ADVICE = (
    "To append",
    "Either remove",
    "Or add",
    "full_key",
    "object_type",
    "Set the environment variable",
    "Available",
)
"""Beginnings of the lines that advise, or that name OmegaConf's own types."""


def read_error(error: BaseException) -> HydraReport:
    """Return what the text of an error of Hydra or OmegaConf says."""
    text = str(error)
    found = _INSIDE.search(text)
    inside = found[1] if found else None
    for mistake in Mistake:
        if named := re.search(mistake.value, text):
            groups = named.groupdict()
            return HydraReport(mistake, groups.get("group") or "", groups.get("name") or "", inside)
    return HydraReport(None, "", "", inside)


def informative_lines(error: BaseException) -> Iterator[str]:
    """Yield the distinct lines of an error and its causes, without advice such as to add a plus."""
    reported = set()
    cause: BaseException | None = error
    while cause is not None:
        for line in map(str.strip, str(cause).splitlines()):
            if line and line not in reported and not line.startswith(_ADVICE):
                reported.add(line)
                yield line
        cause = cause.__cause__
