"""Config group `data`: corpus, columns, limits and tokenization."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from summexp.errors import ConfigError, Problem
from summexp.options import choice, open_mapping


@dataclass(kw_only=True)
class DataConfig:
    """The corpus (Hub dataset, local folder or files), its columns and its limits."""

    name: str | None = None
    """Hub repository (`abisee/cnn_dailymail`), dataset folder, or the bundled `news_briefs`."""
    config_name: str | None = None
    """Configuration of a Hub repository, such as `3.0.0`."""
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
    """File to evaluate on; its format may differ from that of `train_file`."""
    validation_files: Any = open_mapping()
    """Several files to evaluate on, name to file; each gets its own metrics, `eval_<name>_…`."""
    validation_share: float | None = None
    """Fraction of the training rows, such as 0.1, held out for evaluation. A hash of the
    document selects them: the same rows in every run, and equal documents together."""
    test_share: float | None = None
    """Fraction of the training rows to hold out for prediction, selected likewise. A file overrides
    either fraction, whose rows are still not trained on."""
    test_file: str | None = None
    """File to predict on; references are optional, and .txt (one document per line) is possible."""
    predictions_format: str = choice("jsonl", "jsonl", "csv", "parquet")
    """Format of `generated_predictions`: `jsonl` has one object per row; `csv` and `parquet` also
    have all columns of the input."""
    text_column: str | None = None
    """Column of the documents; if not set, a known pair of column names is detected."""
    summary_column: str | None = None
    """Column of the summaries."""
    id_column: str | None = None
    """Column of the row IDs in the predictions; if not set, a column `id`, or else the row number
    from 0."""
    references_column: str | None = None
    """Column of lists of further references, of which the best counts in scores; if not set, a
    column `references`."""
    max_train_samples: int | None = None
    """Maximum number of rows to train on, from the start of the split."""
    max_eval_samples: int | None = None
    """Maximum number of rows to evaluate on, from the start of the split."""
    max_predict_samples: int | None = None
    """Maximum number of rows to predict, from the start of the split."""
    max_source_length: int = 1024
    """Maximum tokens of a document, with the prefix, and for a decoder-only model with the target
    prefix; longer documents are truncated at the end."""
    long_documents: str = choice("truncate", "truncate", "chunk")
    """Longer documents in prediction: `truncate` drops their end; `chunk` summarises overlapping
    chunks, and then the summaries. Training and evaluation always truncate."""
    chunk_overlap: int | None = None
    """Maximum tokens shared by neighbouring chunks, in whole sentences if possible; an eighth of a
    chunk if not set."""
    max_target_length: int = 128
    """Maximum tokens of a summary in training."""
    val_max_target_length: int | None = None
    """Maximum tokens of a summary in evaluation and prediction; `max_target_length` if not set."""
    pad_to_max_length: bool = False
    """Pad every batch to the maximum lengths, for hardware that needs static shapes."""
    ignore_pad_token_for_loss: bool = True
    """Ignore padding in the loss."""
    preprocessing_num_workers: int | None = None
    """Number of processes that tokenize; one if not set."""
    overwrite_cache: bool = False
    """Tokenize again, even if the corpus is in the cache."""
    streaming: bool = False
    """Read the training rows during training instead of before it; needs `training.max_steps`."""
    language: str | None = None
    """ISO 639-1 code of the summaries' language; detected from their script if not set."""

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
                    hint="Remove it for the default, an eighth of a chunk.",
                )
            )
        if overlap is not None and self.long_documents != "chunk":
            problems.append(
                Problem(
                    key="data.chunk_overlap",
                    what="has no effect with data.long_documents=truncate",
                    hint="Set data.long_documents=chunk.",
                )
            )
        problems += self._name_sets()
        if self.validation_file and self.validation_files:
            problems.append(
                Problem(
                    key="data.validation_files",
                    what="is set together with data.validation_file",
                    hint="Add its file to data.validation_files and remove data.validation_file, "
                    "or remove data.validation_files.",
                )
            )
        problems += self._share_problems()
        if self.text_column is not None and self.text_column == self.summary_column:
            problems.append(
                Problem(
                    key="data.summary_column",
                    what=f"is {self.summary_column!r}, the same as data.text_column",
                    hint="Remove it, or name the column of the summaries: "
                    "data.summary_column=COLUMN",
                )
            )
        if problems:
            raise ConfigError(problems)

    def _name_sets(self) -> Iterator[Problem]:
        """Convert names and files of the validation sets to text, and yield their problems."""
        named = {}
        for given, file in self.validation_files.items():
            # A number is converted to text, as in `validation_file`.
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
        """Prefixes of the metrics of the validation sets: `eval`, or `eval_<name>` each."""
        return [f"eval_{name}" for name in self.validation_files] or ["eval"]

    def _share_problems(self) -> Iterator[Problem]:
        """Yield the problems of `validation_share` and `test_share`."""
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
                hint = f"Remove one of them: {key}=null or data.{split}_split={split}"
                yield Problem(key=key, what=what, hint=hint)
        if len(chosen) == 2 and sum(chosen.values()) >= 1 > max(chosen.values()):
            yield Problem(
                key="data.test_share",
                what=f"and data.validation_share add up to {sum(chosen.values()):g}, which leaves "
                "nothing to train on",
                hint="Their sum must be less than 1, as with data.validation_share=0.1 "
                "data.test_share=0.1",
            )

    def is_held_out(self, split: str) -> bool:
        """Return whether `validation` or `test` is held out of the training rows.

        A file overrides the fraction, whose rows are still not trained on.
        """
        files = (f"{split}_file", f"{split}_files") if self.name is None else ()
        has_file = any(getattr(self, name, None) for name in files)
        return getattr(self, f"{split}_share") is not None and not has_file

    @property
    def eval_target_length(self) -> int:
        """Maximum tokens of a summary in evaluation and prediction."""
        return self.val_max_target_length or self.max_target_length


def _set_problems(name: object, file: object) -> Iterator[Problem]:
    key = f"data.validation_files.{name}"
    if isinstance(file, Mapping):
        # On the command line, a dot in the name creates a nested mapping.
        inner, path = next(iter(file.items()), ("…", "…"))
        yield Problem(
            key=key,
            what=f"is a mapping, {dict(file)}, not a file: a set's name must not contain a dot",
            hint=f"Set data.validation_files.{name}_{inner}={path}",
        )
    elif not isinstance(name, str) or not re.fullmatch(r"[\w-]+", name):
        yield Problem(
            key=key,
            what=f"{name!r} is not a valid set name: use letters, digits, - and _ only",
            hint="Its metrics are named eval_<name>_rougeL and so on.",
        )
    elif file is None or file == "":
        yield Problem(key=key, what="has no file", hint="Name a file, or remove the set.")
    elif not isinstance(file, str):
        yield Problem(key=key, what=f"must be the name of a file, not {file!r}")
