"""Metrics of Hugging Face's `evaluate` library, by name or by folder: `evaluate:sacrebleu`.

What such a metric returns is known once it has been computed, and what it returns for a few rows
tells the scores: each number, and the mean of each list that has one number a row.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import inspect
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from summexp.errors import ConfigError, Problem
from summexp.metrics.evaluate_scripts import (
    cached_script,
    is_path,
    local_script,
    missing_packages,
    module_name,
    package_versions,
)
from summexp.metrics.metric import Metric, ScoreInfo, Setting, Summaries, Values
from summexp.paths import at_home

if TYPE_CHECKING:
    from summexp.metrics.config import MetricConfig

log = logging.getLogger(__name__)

PREFIX = "evaluate:"
"""With which these metrics begin in `metric.names`."""

_SEED = 42
"""From which a metric draws that draws at random; upstream takes whatever NumPy is at."""
_PROBE = ("The cat sat on the mat.", "A dog ran home in the rain.", "It rained all day long.")
"""Texts for which a metric is computed to see what it returns."""


@dataclass(frozen=True)
class _Inputs:
    """What a loaded metric takes for `predictions` and `references`."""

    takes_text: bool
    """One reference a row."""
    takes_list: bool
    """A list of references a row."""
    takes_sources: bool
    """The documents too, as `sources`."""


@dataclass
class _Loaded:
    """A metric of the library, ready to be computed."""

    module: Any
    """The `evaluate.EvaluationModule`."""
    inputs: _Inputs
    scores: tuple[ScoreInfo, ...] = ()
    outputs: dict[str, str] = field(default_factory=dict)
    """Output to the score that it is."""
    listed: frozenset[str] = frozenset()
    """The outputs that have one number a row."""


class EvaluateMetric(Metric):
    """A metric of the `evaluate` library, loaded by `load`."""

    def __init__(self, path: str, config: MetricConfig | None = None) -> None:
        """Name a metric.

        Args:
            path: a folder or script, or a name on the Hub, as `evaluate.load` takes it.
            config: the `metric` group, to compute it.
        """
        self.path = at_home(path)
        self.module_name = module_name(path)
        self.name = f"{PREFIX}{self.module_name}"
        self._kwargs = {} if config is None else dict(config.kwargs_of(self.module_name))
        self._loaded: _Loaded | None = None

    @property
    def scores(self) -> tuple[ScoreInfo, ...]:  # type: ignore[override]
        """What it returned for a few rows; nothing before it is loaded."""
        return () if self._loaded is None else self._loaded.scores

    def may_compute(self, score_name: str) -> bool:
        """Return whether a score has a name that one of this metric's could have.

        >>> EvaluateMetric("sacrebleu").may_compute("sacrebleu_score")
        True
        """
        return score_name == self.module_name or score_name.startswith(f"{self.module_name}_")

    def check_requirements(
        self,
        config: MetricConfig,  # noqa: ARG002
        language: str | None,  # noqa: ARG002
        *,
        offline: bool,
        tiny: bool,
    ) -> Iterator[Problem]:
        """Yield that its script is not there, or that packages which it imports are missing."""
        script = local_script(self.path)
        if script is None and is_path(self.path):
            expected = Path(self.path, f"{self.module_name}.py")
            yield self._problem(
                f"is not a metric: there is no {expected}",
                "The script must have the name of its folder.",
            )
        elif script is not None:
            if missing := missing_packages(script):
                yield self._missing(missing)
        elif (offline or tiny) and cached_script(self.path) is None:
            yield self._problem(
                "is not in the cache, and this run is offline",
                f'Load it once with network access: python -c "import evaluate; '
                f"evaluate.load('{self.path}')\". Or name a folder that has it: "
                f"{PREFIX}metrics/{self.module_name}",
            )

    def prepare(self, setting: Setting) -> EvaluateMetric:
        """Return the metric with its arguments; it is loaded where it is computed."""
        return EvaluateMetric(self.path, setting.config)

    def load(self) -> None:
        """Load the metric, and compute it for a few rows to see what it returns.

        Raises:
            ConfigError: it cannot be loaded or computed, or returns no number.
        """
        if self._loaded is not None:
            return
        module = self._module()
        inputs = _inputs(module.features)
        if inputs is None:
            raise self._error(
                f"does not compare texts: its inputs are {module.features}",
                "Name a metric whose predictions and references are texts.",
            )
        self._loaded = _Loaded(module, inputs)
        self._describe(self._loaded)

    def _module(self) -> Any:
        script = local_script(self.path)
        try:
            return _load(self.path, None if script is None else script.read_bytes())
        except FileNotFoundError as error:
            raise self._error(
                "is not a folder with a script of its name, and cannot be loaded from the Hub",
                "Check the name and the network, or name a folder that has it: "
                f"{PREFIX}metrics/{self.module_name}",
            ) from error
        except ImportError as error:
            script = local_script(self.path) or cached_script(self.path)
            missing = missing_packages(script) if script else []
            raise ConfigError(self._missing(missing, error)) from error
        except Exception as error:  # The code is somebody else's.
            raise self._error(f"cannot be loaded: {_line(error)}") from error

    def _problem(self, what: str, hint: str | None = None) -> Problem:
        return Problem(key="metric.names", what=f"{self.name} {what}", hint=hint)

    def _error(self, what: str, hint: str | None = None) -> ConfigError:
        return ConfigError(self._problem(what, hint))

    def _missing(self, packages: Sequence[str], error: ImportError | None = None) -> Problem:
        if not packages:
            return self._problem(f"cannot be loaded: {error}")
        return self._problem(
            f"needs packages that are not installed: {', '.join(packages)}",
            f"Run pip install {' '.join(packages)}",
        )

    def _describe(self, loaded: _Loaded) -> None:
        """Find the scores: the numbers that it returns, and the lists that are as long as the rows.

        Two numbers of rows show which lists these are.
        """
        found = []
        for count in (2, 3):
            texts = list(_PROBE[:count])
            try:
                found.append(self._outputs(loaded, texts, [[text] for text in texts], texts))
            except Exception as error:
                raise self._error(
                    f"cannot be computed: {_line(error)}",
                    "Arguments that it needs are set by "
                    f"metric.evaluate_kwargs.{self.module_name}.NAME=VALUE",
                ) from error
        first, second = found
        numbers = [key for key in first if _number(first[key]) is not None]
        lists = [
            key
            for key in first
            if key in second and _is_column(first[key], 2) and _is_column(second[key], 3)
        ]
        if not numbers and not lists:
            raise self._error(f"returns no numbers: {', '.join(first)}")
        loaded.listed = frozenset(lists)
        loaded.outputs = {key: self._score_name(key) for key in first if key in (*numbers, *lists)}
        loaded.scores = tuple(
            ScoreInfo(
                name=name,
                label=self.module_name if name == self.module_name else f"{self.module_name} {key}",
                higher_is_better=None,
                quality=key in ("score", self.module_name),
            )
            for key, name in loaded.outputs.items()
        )

    def _score_name(self, output: str) -> str:
        return output if output == self.module_name else f"{self.module_name}_{output}"

    @property
    def signature(self) -> str:
        """The digest of its script, its arguments, and the versions of what it imports."""
        self.load()
        assert self._loaded is not None
        source = Path(inspect.getfile(type(self._loaded.module)))
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        arguments = [f"{key}={value}" for key, value in sorted(self._kwargs.items())]
        packages = [*package_versions(source), f"evaluate-{importlib.metadata.version('evaluate')}"]
        return f"{self.module_name}:{','.join([digest, *arguments, *packages])}"

    def compute(self, summaries: Summaries) -> dict[str, Values]:
        """Return its numbers, on their own scale.

        A metric that fails for these rows, such as one that divides by the length of summaries that
        are all empty, does not end a run that may have trained for hours: it is logged.
        """
        self.load()
        assert self._loaded is not None
        if not summaries.predictions:
            return {}
        rows = (summaries.predictions, summaries.references, summaries.documents)
        try:
            outputs = self._outputs(self._loaded, *rows)
        except Exception as error:  # The code is somebody else's.
            log.warning("skipping %s: %s", self.name, _line(error))
            return {}
        values: dict[str, Values] = {}
        for key, name in self._loaded.outputs.items():
            output: Any = outputs.get(key)
            if key in self._loaded.listed and _is_column(output, len(summaries.predictions)):
                values[name] = [float(one) for one in output]
            elif (number := _number(output)) is not None:
                values[name] = number
            else:
                log.warning("%s: skipping %s, which is not a number", self.name, key)
        return values

    def _outputs(
        self,
        loaded: _Loaded,
        predictions: Sequence[str],
        references: Sequence[Sequence[str]],
        documents: Sequence[str] | None,
    ) -> Mapping[str, Any]:
        several = max(map(len, references))
        first: list[Any] = [row[0] for row in references]
        if loaded.inputs.takes_list and (several > 1 or not loaded.inputs.takes_text):
            # Some want as many in each row: a reference that comes twice changes no best of them.
            first = [[*row, *[row[-1]] * (several - len(row))] for row in references]
        sources = {"sources": list(documents or ())} if loaded.inputs.takes_sources else {}
        return dict(
            loaded.module.compute(
                predictions=list(predictions), references=first, **sources, **self._kwargs
            )
        )


@lru_cache(maxsize=8)
def _load(path: str, script: bytes | None) -> Any:  # noqa: ARG001
    """Load a metric, once for all sets of a run as long as its `script` stays as it is."""
    import evaluate

    log.info("loading %s of the evaluate library", path)
    return evaluate.load(path, keep_in_memory=True, seed=_SEED)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}".rstrip(": ")


def _inputs(features: Any) -> _Inputs | None:
    """Return what a metric takes, or None where it is not texts; one may take several forms."""
    forms = [
        _Inputs(_is_text(form["references"]), not _is_text(form["references"]), "sources" in form)
        for form in (features if isinstance(features, list) else [features])
        if {"predictions", "references"} <= set(form) <= {"predictions", "references", "sources"}
        and _is_text(form["predictions"])
        and (_is_text(form["references"]) or _is_text(_inner(form["references"])))
    ]
    if not forms:
        return None
    return _Inputs(
        any(form.takes_text for form in forms),
        any(form.takes_list for form in forms),
        any(form.takes_sources for form in forms),
    )


def _inner(feature: Any) -> Any:
    """Return the feature of a list's items, in either of the forms that datasets has for it."""
    return feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)


def _is_text(feature: Any) -> bool:
    return getattr(feature, "dtype", None) in ("string", "large_string")


def _number(value: Any) -> float | None:
    """Return a finite number, or None."""
    item = value.item() if getattr(value, "ndim", None) == 0 else value
    if isinstance(item, bool) or not isinstance(item, Real) or not math.isfinite(item):
        return None
    return float(item)


def _is_column(value: Any, rows: int) -> bool:
    """Return whether a value has one finite number a row."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__len__"):
        return False
    return len(value) == rows and all(_number(one) is not None for one in value)
