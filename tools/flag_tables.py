"""Markdown tables of the old scripts' flags, for `docs/coming-from-the-scripts.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from summexp.migrate.flags import Flag, Kind
from summexp.migrate.removed_flags import (
    EARLIER_FLAGS,
    EARLIER_NO_TRAINER_FLAGS,
    REMOVED_FLAGS,
)
from summexp.migrate.script_flags import (
    DATA_FLAGS,
    MODEL_FLAGS,
    NO_TRAINER_FLAGS,
    TENSORFLOW_FLAGS,
)
from summexp.migrate.training_flags import TRAINING_FLAGS

TABLES: dict[str, tuple[str, tuple[Flag, ...]]] = {
    "The model": (
        "`ModelArguments` of `run_summarization.py`, and of its TensorFlow version, which had no "
        "`resize_position_embeddings`.",
        MODEL_FLAGS,
    ),
    "The data": (
        "`DataTrainingArguments` of `run_summarization.py`, and of its TensorFlow version, which "
        "had no `lang` and no `forced_bos_token`.",
        DATA_FLAGS,
    ),
    "Training": (
        "`Seq2SeqTrainingArguments` of transformers. The TensorFlow version had no "
        "`sortish_sampler`, `predict_with_generate`, `generation_max_length`, "
        "`generation_num_beams` and `generation_config`.",
        TRAINING_FLAGS,
    ),
    "Removed from transformers 5": (
        "Passing one of them to the scripts is an error today; commands and guides still have "
        "them, and `summexp migrate` accepts them.",
        REMOVED_FLAGS,
    ),
    "Removed or renamed before that": (
        "The scripts had them in the years of transformers 4, and lost them within these.",
        EARLIER_FLAGS + EARLIER_NO_TRAINER_FLAGS,
    ),
    "`run_summarization_no_trainer.py`": (
        "The new command has `engine=accelerate`.",
        NO_TRAINER_FLAGS,
    ),
    "TensorFlow alone": (
        "The new command has `engine=trainer`, until there is a Keras engine.",
        TENSORFLOW_FLAGS,
    ),
}
"""All flags by origin: title, a sentence, flags."""

_VALUES = {
    Kind.TEXT: "text",
    Kind.INT: "integer",
    Kind.FLOAT: "number",
    Kind.BOOL: "true or false",
    Kind.SWITCH: "none",
    Kind.TRUTHY: "text",
    Kind.TEXT_OR_BOOL: "text or none",
    Kind.LIST: "words",
    Kind.JSON: "JSON or a file",
}


def flag_tables() -> str:
    """Return a section with a table for each group of flags."""
    return "\n\n".join(_table(title, *content) for title, content in TABLES.items()) + "\n"


def _table(title: str, intro: str, flags: Iterable[Flag]) -> str:
    head = ["| flag | value | default | now | |", "|---|---|---|---|---|"]
    return "\n".join([f"### {title}", "", intro, "", *head, *map(_row, flags)])


def _row(flag: Flag) -> str:
    default = "" if flag.default is None else f"`{json.dumps(flag.default)}`"
    now = ", ".join(f"`{part}`" for part in _parts(flag.now)) or "nothing"
    cells = [f"`--{flag.name}`", _VALUES[flag.kind], default, now, flag.remark.replace("|", "\\|")]
    return f"| {' | '.join(cells)} |"


def _parts(now: str) -> Iterator[str]:
    """Yield the words of a flag's new key, a mapping in one piece."""
    if "{" in now:
        first, _, mapping = now.partition("={")
        *words, key = first.split()
        yield from words
        yield f"{key}={{{mapping}"
    else:
        yield from (word.rstrip(",") for word in now.split())
