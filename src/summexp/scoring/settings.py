"""Settings of scores: composed from the words of a command, as those of a run are.

Tested in tests/verbs/test_score.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from summexp.config.compose import choice_tree
from summexp.config.escaping import override
from summexp.config.overrides import check_overrides
from summexp.config.schema import Config
from summexp.config.typed import read_tree
from summexp.errors import ConfigError, Problem
from summexp.paths import at_home
from summexp.run_folder.layout import CONFIG_FILE, RUN_FILE
from summexp.runs.inherit import Inherited, inherited

_SECTIONS = ("data", "metric", "seed")
"""What scores depend on."""


def run_folder_of(files: Sequence[str]) -> Path | None:
    """Return the run folder that holds all of the files, or is each of them; None without one."""
    paths = {Path(at_home(file)) for file in files}
    folders = {path if path.is_dir() else path.parent for path in paths}
    if len(folders) != 1:
        return None
    (folder,) = folders
    is_run = all((folder / name).is_file() for name in (CONFIG_FILE, RUN_FILE))
    return folder if is_run else None


def compose_settings(
    words: Sequence[str], *, config_dir: str | None, folder: Path | None
) -> tuple[Config, Inherited | None]:
    """Return the config of some overrides, and what it inherits from a run folder.

    As a run in that folder would, it inherits all that the words do not set: the metrics, the
    language, the names of columns, the seed.

    Args:
        words: the overrides.
        config_dir: a folder of the user's choices.
        folder: the run folder; None for none.

    Raises:
        ConfigError: the words or the composed config are invalid; has all problems.
    """
    given = list(words)
    if not any(word.startswith(("data=", "experiment=")) for word in words):
        # The bundled corpus, the default, has a language and columns of its own.
        given.insert(0, "data=custom_csv")
    if folder is not None:
        given = [word for word in given if not word.startswith("output_dir=")]
        given.append(override("output_dir", str(folder)))
    with choice_tree(config_dir, None, given) as tree:
        checked = check_overrides(given, tree.loader, multirun=False)
        problems = [*tree.problems, *checked.problems]
        if problems:
            raise ConfigError(problems)
        composed, problems = tree.compose(checked.jobs[0])
        from_folder = None if folder is None else inherited(tree, composed, words)
        if from_folder is not None:
            from_folder.apply(composed)
        reading = read_tree(composed)
        last = None if from_folder is None else from_folder.file
        problems += tree.locate(reading.problems, checked.jobs[0], last)
    config = reading.config
    if problems or config is None:
        raise ConfigError(problems)
    if config.metric.references == "labels":
        what = "scores against what the labels of a model keep of the references"
        hint = "Here there is no model: set metric.references=original"
        raise ConfigError(Problem(key="metric.references", what=what, hint=hint))
    return config, from_folder and _of_scores(from_folder)


def _of_scores(inherited: Inherited) -> Inherited:
    """Return what is inherited without what no score depends on."""
    changed = (key for key in inherited.changed if key.partition(".")[0] in _SECTIONS)
    return replace(inherited, changed=tuple(changed))
