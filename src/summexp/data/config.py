"""What to train, validate and predict on: the `data` group of the config."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from summexp.errors import ConfigError, Problem
from summexp.options import choice, open_mapping


@dataclass(kw_only=True)
class DataConfig:
    """A corpus (by Hub name, local folder or files), its columns, its size and its limits."""

    name: str | None = None
    """Hub repository (`abisee/cnn_dailymail`), dataset folder, or the bundled `news_briefs`."""
    config_name: str | None = None
    """Which configuration of a Hub repository to read, such as `3.0.0`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub repository; `refs/convert/parquet` replaces a script."""
    train_split: str = "train"
    """Split of `name` to train on; a slice such as `train[:90%]` is possible."""
    validation_split: str = "validation"
    """Split of `name` to evaluate on."""
    test_split: str = "test"
    """Split of `name` to predict on."""
    train_file: str | None = None
    """File to train on: .csv, .tsv, .json, .jsonl or .parquet, each also as .gz."""
    validation_file: str | None = None
    """File to evaluate on; it may have another format than `train_file`."""
    validation_files: Any = open_mapping()
    """Several files to evaluate on, name to file; each gets its own metrics, `eval_<name>_…`."""
    validation_share: float | None = None
    """Evaluate on this share of the training rows, such as 0.1, and do not train on them. A hash of
    the document chooses them: the same rows in every run, and equal documents together."""
    test_share: float | None = None
    """Predict on this share of the training rows, and do not train on them; chosen likewise. A file
    of its own goes before either share, which stays out of the training all the same."""
    test_file: str | None = None
    """File to predict on; references are optional, and .txt (a document a line) is possible."""
    predictions_format: str = choice("jsonl", "jsonl", "csv", "parquet")
    """Format of `generated_predictions`: `jsonl` has what the run made of each row; `csv` and
    `parquet` have it beside all columns of the input."""
    text_column: str | None = None
    """Column of the documents; a known pair of names is recognised when this is not set."""
    summary_column: str | None = None
    """Column of the summaries."""
    id_column: str | None = None
    """Column whose value names a row in the predictions; where not set, a column called `id`, or
    else the row's number from 0."""
    references_column: str | None = None
    """Column of lists of summaries beside the row's own, for scores against the best of them; where
    not set, one called `references`."""
    max_train_samples: int | None = None
    """Train on the first so many rows only."""
    max_eval_samples: int | None = None
    """Evaluate on the first so many rows only."""
    max_predict_samples: int | None = None
    """Predict the first so many rows only."""
    max_source_length: int = 1024
    """Longest document in tokens, the prefix included, and for a decoder-only model what comes
    before the summary too; what is longer is cut at the document's end."""
    long_documents: str = choice("truncate", "truncate", "chunk")
    """What prediction does with longer documents: `truncate` cuts them at the end; `chunk`
    summarises overlapping chunks, and then the chunks' summaries. Training and evaluation always
    cut."""
    chunk_overlap: int | None = None
    """Tokens that neighbouring chunks share at most, in whole sentences where it can be; an eighth
    of a chunk where not set."""
    max_target_length: int = 128
    """Longest summary in tokens in training."""
    val_max_target_length: int | None = None
    """Longest summary in tokens in evaluation and prediction; `max_target_length` where not set."""
    pad_to_max_length: bool = False
    """Pad every batch to the maximum lengths, for hardware that wants static shapes."""
    ignore_pad_token_for_loss: bool = True
    """Leave padding out of the loss."""
    preprocessing_num_workers: int | None = None
    """Processes that tokenize; one where not set."""
    overwrite_cache: bool = False
    """Tokenize again, even if the same corpus was tokenized before."""
    streaming: bool = False
    """Read the training rows while training instead of before it; needs `training.max_steps`."""
    language: str | None = None
    """ISO 639-1 code of the summaries' language; recognised from their script where not set."""

    def __post_init__(self) -> None:
        problems = [
            Problem(key=f"data.{key}", what=f"must be at least 1, not {value}")
            for key in (
                "max_train_samples",
                "max_eval_samples",
                "max_predict_samples",
                "max_source_length",
                "max_target_length",
                "val_max_target_length",
                "preprocessing_num_workers",
            )
            if (value := getattr(self, key)) is not None and value < 1
        ]
        overlap = self.chunk_overlap
        if overlap is not None and not 0 <= overlap <= self.max_source_length // 2:
            problems.append(
                Problem(
                    key="data.chunk_overlap",
                    what=f"must be from 0 to half of data.max_source_length, not {overlap}",
                    hint="Leave it away for an eighth of a chunk.",
                )
            )
        if overlap is not None and self.long_documents != "chunk":
            problems.append(
                Problem(
                    key="data.chunk_overlap",
                    what="has no effect where long documents are cut",
                    hint="Choose data.long_documents=chunk.",
                )
            )
        problems += self._name_sets()
        if self.validation_file and self.validation_files:
            problems.append(
                Problem(
                    key="data.validation_files",
                    what="is set together with data.validation_file",
                    hint="Leave data.validation_file away and name its file there too, or leave "
                    "data.validation_files away.",
                )
            )
        problems += self._share_problems()
        if self.text_column is not None and self.text_column == self.summary_column:
            problems.append(
                Problem(
                    key="data.summary_column",
                    what=f"is {self.summary_column!r}, like data.text_column",
                    hint="Leave it away, or name the column of the summaries: "
                    "data.summary_column=COLUMN",
                )
            )
        if problems:
            raise ConfigError(problems)

    def _name_sets(self) -> Iterator[Problem]:
        """Make names and files of the validation sets text, and yield what is wrong with them."""
        named = {}
        for given, file in self.validation_files.items():
            # A number is text here as it is in `validation_file`.
            name = str(given) if type(given) is int else given
            named[name] = str(file) if type(file) in (int, float) else file
            yield from _set_problems(name, named[name])
            base, _, end = str(name).rpartition("_")
            if re.fullmatch(r"lead\d+", end) and base in self.validation_files:
                yield Problem(
                    key=f"data.validation_files.{name}",
                    what=f"its scores would have the names of the baseline of {base!r}",
                    hint=f"Choose another name: data.validation_files.{base}_{end}s={file}",
                )
        self.validation_files = named

    @property
    def validation_prefixes(self) -> list[str]:
        """What the names of each validation set's metrics begin with: `eval`, or `eval_<name>`."""
        return [f"eval_{name}" for name in self.validation_files] or ["eval"]

    def _share_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with `validation_share` and `test_share`."""
        shares = {"validation": self.validation_share, "test": self.test_share}
        chosen = {split: share for split, share in shares.items() if share is not None}
        for split, share in chosen.items():
            key = f"data.{split}_share"
            if not 0 < share < 1:
                what = f"must be more than 0 and less than 1, not {share:g}"
                yield Problem(key=key, what=what, hint=f"For a tenth of the rows: {key}=0.1")
            own = getattr(self, f"{split}_split")
            if self.name is not None and own != split:
                what = f"is set together with data.{split}_split={own}"
                hint = f"Leave out one of the two: {key}=null or data.{split}_split={split}"
                yield Problem(key=key, what=what, hint=hint)
        if len(chosen) == 2 and sum(chosen.values()) >= 1 > max(chosen.values()):
            yield Problem(
                key="data.test_share",
                what=f"and data.validation_share make {sum(chosen.values()):g} together, which "
                "leaves nothing to train on",
                hint="Their sum must be less than 1, as with data.validation_share=0.1 "
                "data.test_share=0.1",
            )

    def is_held_out(self, split: str) -> bool:
        """Return whether `validation` or `test` is a share of the training rows.

        A file of its own goes before the share, which stays held out of the training all the same.
        """
        files = (f"{split}_file", f"{split}_files") if self.name is None else ()
        has_file = any(getattr(self, name, None) for name in files)
        return getattr(self, f"{split}_share") is not None and not has_file

    @property
    def eval_target_length(self) -> int:
        """Longest summary in tokens in evaluation and prediction."""
        return self.val_max_target_length or self.max_target_length


def _set_problems(name: object, file: object) -> Iterator[Problem]:
    key = f"data.validation_files.{name}"
    if isinstance(file, Mapping):
        # On the command line, a dot in the name made a mapping of it.
        inner, path = next(iter(file.items()), ("…", "…"))
        yield Problem(
            key=key,
            what=f"is not one file but a mapping, {dict(file)}: a set's name cannot have a dot",
            hint=f"Write data.validation_files.{name}_{inner}={path}",
        )
    elif not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        yield Problem(
            key=key,
            what=f"{name!r} is no name for a set: it may have letters, digits, - and _ only",
            hint="Its scores are called eval_<name>_rougeL and so on.",
        )
    elif file is None or file == "":
        yield Problem(key=key, what="names no file", hint="Name one, or leave the set away.")
    elif not isinstance(file, str):
        yield Problem(key=key, what=f"must be the name of a file, not {file!r}")
