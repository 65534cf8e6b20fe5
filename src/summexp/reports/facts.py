"""Facts of a run for its reports: name, settings, numbers, and the command to repeat it."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from summexp.config.escaping import override, unescaped
from summexp.data.health import SplitHealth
from summexp.data.split_sources import BUNDLED
from summexp.metrics.language import primary
from summexp.reports.run_results import RunResults


class Fact(NamedTuple):
    """A named fact."""

    name: str
    value: str


def title(results: RunResults) -> str:
    """Return which model was used on which data, the name of a run."""
    return f"{model_name(results)} on {data_name(results)}"


def model_name(results: RunResults) -> str:
    """Return the model's Hub name, its folder's name, or the family of a random one."""
    name = results.option("model.name_or_path")
    if name and not is_random(results):
        return name if is_hub_name(name) else Path(name).name
    shape = results.architecture or results.option("model.architecture.model_type") or "A model"
    family = re.sub("(ForConditionalGeneration|ForCausalLM|LMHeadModel)$", "", shape)
    return f"{family} from random weights" if is_random(results) else family


def data_name(results: RunResults) -> str:
    """Return the corpus's Hub name with its configuration, or the names of its folder or files."""
    if name := results.option("data.name"):
        known = name if name == BUNDLED or is_hub_name(name) else Path(name).name
        config_name = results.option("data.config_name")
        return f"{known} ({config_name})" if config_name else known
    read = [name.partition("_")[0] for name in results.health.splits]
    splits = ["train"] if results.steps else [*read, "train", "validation", "test"]
    return next((", ".join(files) for split in splits if (files := _files(results, split))), "data")


def source_name(results: RunResults, set_name: str) -> str:
    """Return what an evaluated set was read from: the corpus, or the name of its file."""
    if results.option("data.name"):
        return data_name(results)
    split = "test" if set_name == "predict" else "validation"
    if (share := held_out_share(results, split)) is not None:
        return f"{', '.join(_files(results, 'train'))} ({split}_share={share:g})"
    if set_name == "predict":
        return ", ".join(_files(results, "test")) or data_name(results)
    several = results.option("data.validation_files") or {}
    file = several.get(set_name.removeprefix("eval_"))
    return Path(file).name if file else ", ".join(_files(results, "validation"))


def held_out_share(results: RunResults, split: str) -> float | None:
    """Return the share of the training rows that `validation` or `test` is, or None.

    A file of its own goes before the share.
    """
    share: float | None = results.option(f"data.{split}_share")
    return None if results.option("data.name") is None and _files(results, split) else share


def _files(results: RunResults, split: str) -> list[str]:
    several = results.option(f"data.{split}_files") or {}
    file = results.option(f"data.{split}_file")
    return [Path(one).name for one in (file, *several.values()) if one]


def is_random(results: RunResults) -> bool:
    """Return whether the model began with random weights."""
    return results.option("model.init") == "random" or bool(results.option("debug.tiny"))


def is_hub_name(name: str) -> bool:
    """Return whether a model's or corpus's name stands for a repository and not for a folder."""
    return not (name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).exists())


def is_hub_dataset(results: RunResults) -> bool:
    """Return whether the corpus is a repository of the Hub, read as it is there."""
    name = results.option("data.name")
    stood_in = results.option("debug.tiny")
    return bool(name) and name != BUNDLED and is_hub_name(name) and not stood_in


def language_code(results: RunResults) -> str | None:
    """Return the code of the summaries' language, given or recognised, or None if unknown."""
    recognised = re.search(r"\blang:(\w+)", results.signature or "")
    code = results.option("data.language") or (recognised and recognised[1]) or "und"
    language = primary(code)
    return None if language == "und" else language


def facts(results: RunResults) -> list[Fact]:
    """Return the facts at the head of a report; what the run did not get to is left out."""
    return [Fact(name, value) for name, value in _facts(results) if value]


def _facts(results: RunResults) -> Iterator[tuple[str, str]]:
    yield "Model", _model(results)
    splits = results.health.splits.items()
    yield "Data", ", ".join(f"{name} {_rows(split)}" for name, split in splits)
    yield "Training", _training(results)
    yield "Started", when(results.started) if results.started else ""
    yield "Time", _time(results)
    processes = f", {results.world_size} processes" if results.world_size > 1 else ""
    yield "Device", f"{results.device}{processes}" if results.device else ""
    yield "Software", versions(results, "summexp", "torch", "transformers")
    yield "Commit", commit(results) or ""


def _model(results: RunResults) -> str:
    if results.architecture is None:
        return ""
    parts = [results.architecture]
    if results.parameters is not None:
        parts.append(f"{results.parameters:,} parameters")
        if results.trainable is not None and results.trainable != results.parameters:
            of_these = "in a LoRA adapter" if results.adapted else "of them"
            parts.append(f"{results.trainable:,} {of_these} trained")
    return ", ".join(parts)


def _rows(split: SplitHealth) -> str:
    return "streamed" if split.streamed else f"{split.used:,} rows"


def _training(results: RunResults) -> str:
    loss = results.metrics.get("train_loss")
    return passes(results) + ("" if loss is None else f", mean loss {loss:.3f}")


def _time(results: RunResults) -> str:
    if not results.seconds:
        return ""
    phases = ", ".join(f"{name} {duration(value)}" for name, value in results.seconds.items())
    return f"{duration(sum(results.seconds.values()))} ({phases})"


def versions(results: RunResults, *names: str) -> str:
    """Return the named packages, each with its version where that is known."""
    return ", ".join(
        f"{name} {results.versions[name]}" for name in names if name in results.versions
    )


def passes(results: RunResults) -> str:
    """Return the steps trained and the passes over the rows, or nothing."""
    if not results.steps:
        return ""
    epochs = results.metrics.get("epoch")
    steps = f"{results.steps:,} step{'' if results.steps == 1 else 's'}"
    return steps if epochs is None else f"{steps}, {epochs:.3g} epoch{'' if epochs == 1 else 's'}"


def commit(results: RunResults) -> str | None:
    """Return the short commit of the checkout, and whether it was changed."""
    if results.commit is None:
        return None
    return results.commit[:12] + (" with uncommitted changes" if results.dirty else "")


def when(moment: dt.datetime) -> str:
    """Return a moment to the minute, in UTC where its offset is known."""
    if moment.tzinfo is None:
        return f"{moment:%Y-%m-%d %H:%M}"
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return a span of time in two units at most.

    >>> duration(4.26), duration(74), duration(7380)
    ('4.3 s', '1 min 14 s', '2 h 3 min')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    total = round(seconds)
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600} h {total % 3600 // 60} min"


def command(results: RunResults, *, with_folders: bool = True) -> str | None:
    """Return the command that runs this again, for a POSIX shell in the same working folder.

    Args:
        results: the run.
        with_folders: keep absolute paths. Without, each is written from the working folder on, or
            where it lies elsewhere is its last part: a page that is published need not show how its
            author's disk is laid out.
    """
    if not results.argv:
        return None
    if with_folders:
        return shlex.join(results.argv)
    return shlex.join(_without_folders(word, results.cwd) for word in results.argv)


def _without_folders(word: str, cwd: Path | None) -> str:
    key, equals, value = word.partition("=")
    if not equals:
        return str(_shortened(word, cwd))
    if key.startswith("--"):
        return f"{key}={_shortened(value, cwd)}"
    if key.endswith("_prefix"):
        # A text may begin with a slash.
        return word
    try:
        read = OverridesParser.create().parse_override(word).value()
    except HydraException:
        return f"{key}={_shortened(value, cwd)}"
    short = _shortened(unescaped(read), cwd)
    return word if short == unescaped(read) else override(key, short)


def _shortened(value: Any, cwd: Path | None) -> Any:
    """Return a value with the absolute paths in it shortened."""
    if isinstance(value, list):
        return [_shortened(one, cwd) for one in value]
    if isinstance(value, dict):
        return {name: _shortened(one, cwd) for name, one in value.items()}
    if not isinstance(value, str) or not value.startswith(("/", "~")):
        return value
    path = Path(value)
    if cwd is not None and path.is_relative_to(cwd):
        return str(path.relative_to(cwd))
    return path.name
