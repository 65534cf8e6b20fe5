"""Writes down what a Trainer works on, in a process whose code is left as it is.

Python imports this at its start where its folder is in PYTHONPATH. To the file that PARITY_RECORD
names it adds a line of JSON for each training batch (its tensors, and the loss without rounding)
and for each generated batch (what was put in, and what came out).
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def _record(**content: Any) -> None:
    with open(os.environ["PARITY_RECORD"], "a", encoding="utf-8") as file:
        file.write(json.dumps(content) + "\n")


def _watch_training(module: ModuleType) -> None:
    step = module.Trainer.training_step

    @functools.wraps(step)
    def watched(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        # Before the step, which may take tensors out.
        batch = {name: tensor.tolist() for name, tensor in sorted(inputs.items())}
        loss = step(self, model, inputs, *args, **kwargs)
        _record(kind="step", batch=batch, loss=loss.item())
        return loss

    module.Trainer.training_step = watched


def _watch_generation(module: ModuleType) -> None:
    generate = module.GenerationMixin.generate

    @functools.wraps(generate)
    def watched(self: Any, inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
        found = generate(self, inputs, *args, **kwargs)
        source = kwargs["input_ids"] if inputs is None else inputs
        _record(kind="generated", source=source.tolist(), tokens=found.tolist())
        return found

    module.GenerationMixin.generate = watched


_WATCHED: dict[str, Callable[[ModuleType], None]] = {
    "transformers.trainer": _watch_training,
    "transformers.generation.utils": _watch_generation,
}


class _Finder(importlib.abc.MetaPathFinder):
    """Lets a module be imported as ever, and then watches it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _WATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def then_watch(module: ModuleType) -> None:
                load(module)
                _WATCHED[name](module)

            spec.loader.exec_module = then_watch  # type: ignore[method-assign]
        return spec


if "PARITY_RECORD" in os.environ:
    sys.meta_path.insert(0, _Finder())
