"""The `summexp` command, which runs one of its verbs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from summexp import entry
from summexp.config.error_report import report_error
from summexp.distributed.signals import end_on_signals
from summexp.errors import EXIT_USAGE, ConfigError, nearest
from summexp.streams import guard_standard_streams, show
from summexp.verbs import check, train


@dataclass(frozen=True)
class _Verb:
    summary: str
    run: Callable[[list[str]], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line of `summexp` and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    guard_standard_streams()
    end_on_signals()
    sys.exit(_run(words))


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        code = show(_overview())
        return code if words else EXIT_USAGE
    if words[0] == "--version":
        return entry.show_version()
    verb = _VERBS.get(words[0])
    if verb is None:
        known = f"The verbs are {', '.join(_VERBS)}; see summexp --help."
        hint = " ".join(filter(None, (nearest(words[0], _VERBS), known)))
        report_error(ConfigError(f"there is no verb {words[0]!r}\n    {hint}"))
        return EXIT_USAGE
    return verb.run(words[1:])


def _overview() -> str:
    listed = "\n".join(f"  {name:8} {verb.summary}" for name, verb in _VERBS.items())
    return (
        "usage: summexp VERB ...\n\n"
        "Fine-tune, evaluate and compare summarization models.\n\n"
        f"verbs:\n{listed}\n\n"
        "examples:\n"
        "  summexp train model=t5_small data=cnn_dailymail\n"
        "  summexp check data=custom_csv data.train_file=train.csv\n"
        "  summexp train --help\n\n"
        "flags:\n  --help     show this help; after a verb, that of the verb\n"
        "  --version  show the version"
    )


def _migrate(words: list[str]) -> int:
    # Imports the table of the old scripts' flags.
    from summexp.verbs.migrate import run_verb

    return run_verb(words)


def _score(words: list[str]) -> int:
    # Imports numpy.
    from summexp.verbs.score import run_verb

    return run_verb(words)


_VERBS = {
    "train": _Verb("train, evaluate and predict", train.run_verb),
    "check": _Verb("compose the config and check it without running", check.run_verb),
    "score": _Verb("score summaries that exist already, without a model", _score),
    "migrate": _Verb("convert a command of the old scripts", _migrate),
}
"""Verbs of `summexp`, name to implementation."""
