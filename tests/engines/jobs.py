"""Configs, rows and jobs for tiny_models of `tests.modeling.tiny_models`."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tests.modeling.tiny_models import Tiny, config, make

from summexp.config.schema import SECTIONS, Config
from summexp.data.collate import build_collator
from summexp.engines.protocol import TrainingJob
from summexp.evaluation.evaluate import EvaluationResult
from summexp.runs.training_job import training_job

WORDS = "river dog bridge rain 버스 東京 snow road goat mill 요금 night".split()  # noqa: SIM905


def text(number: int, words: int) -> str:
    chosen = (number * 7 + word * (number % 5 + 1) for word in range(words))
    return " ".join(WORDS[one % len(WORDS)] for one in chosen)


def rows(tiny: Tiny, count: int) -> Dataset:
    """Tokenized rows of very different lengths, of the document and of the summary."""
    return Dataset.from_dict(
        {
            "input_ids": [
                source(tiny, text(number, 1 + number * 5 % 7)) for number in range(count)
            ],
            "labels": [target(tiny, text(number, 1 + number % 4)) for number in range(count)],
        }
    )


def source(tiny: Tiny, document: str) -> list[int]:
    return tiny.tokenizer(document)["input_ids"] or [tiny.tokenizer.eos_token_id]


def target(tiny: Tiny, summary: str) -> list[int]:
    ids = list(
        tiny.tokenizer(summary, add_special_tokens=tiny.model.config.is_encoder_decoder).input_ids
    )
    return ids if tiny.model.config.is_encoder_decoder else [*ids, tiny.tokenizer.eos_token_id]


def run_config(**sections: Any) -> Config:
    """A config with upstream's defaults but for what is given, on the CPU."""
    given = {
        "model": config("t5"),
        "training": SECTIONS["training"](),
        "hardware": SECTIONS["hardware"](backend="cpu"),
        **sections,
    }
    for name, section in SECTIONS.items():
        if name not in given:
            given[name] = section()
    return Config(**given)


def training(**fields: Any) -> Any:
    quiet = {
        "logging_steps": 1,
        "learning_rate": 1e-3,
        "save_strategy": "no",
        "disable_tqdm": True,
        "do_eval": False,
    }
    return SECTIONS["training"](**{**quiet, **fields})


def job(
    folder: Path,
    *,
    tiny: Tiny | None = None,
    count: int = 42,
    evaluate: Callable[..., list[EvaluationResult]] = lambda *_: [],
    model_type: str = "t5",
    **sections: Any,
) -> TrainingJob:
    tiny = tiny or make(config(model_type))
    chosen = run_config(**sections)
    return training_job(
        chosen,
        folder,
        model=tiny.model,
        tokenizer=tiny.tokenizer,
        rows=rows(tiny, count),
        collate=build_collator(tiny.tokenizer, tiny.model, chosen.data),
        evaluate=evaluate,
    )


def with_dropout(tiny: Tiny, share: float = 0.1) -> Tiny:
    """A copy of a tiny model that leaves out a share of its activations in training."""
    model = copy.deepcopy(tiny.model)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = share
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = share
    return Tiny(tiny.config, model, tiny.tokenizer)


def logged(folder: Path) -> list[dict[str, float]]:
    """What a training logged, in order."""
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    return list(state["log_history"])


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether all weights are the same, bit for bit."""
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(mine[0] == theirs[0] and mine[1].equal(theirs[1]) for mine, theirs in pairs)
