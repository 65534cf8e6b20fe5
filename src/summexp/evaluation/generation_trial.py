"""Trial of a generation config on a short text, before a run that may train for days.

Upstream (5.23) validates some options only while it generates.

Tested in tests/runs/test_preparation.py.
"""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.collate import Collator
from summexp.errors import ConfigError
from summexp.evaluation.evaluate import EvaluationSettings, LogitsGuard, autocast, generate
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.options import changed_fields
from summexp.upstream.transformers_errors import OPTION_ERRORS, rejection

_TOKENS = 4
"""Length of the summaries of a trial, unless the shortest allowed is longer."""
_ERRORS = (*OPTION_ERRORS, AttributeError, IndexError, AssertionError, RuntimeError)


def try_generation(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    settings: EvaluationSettings,
    options: GenerationOptions,
) -> None:
    """Generate a few tokens for two short documents, as an evaluation would.

    Random numbers and the model's mode are restored. There is no trial on TPUs, where each program
    is compiled.

    Args:
        model: the model on its device, with its generation config.
        tokenizer: of the model.
        collate: collates rows into batches.
        settings: settings of evaluation and generation.
        options: the `generation` group, to name the key of an error.

    Raises:
        ConfigError: it fails.
    """
    if model.device.type == "xla":
        return
    short = copy.deepcopy(settings.generation)
    for end in ("length", "new_tokens"):
        longest, shortest = getattr(short, f"max_{end}"), getattr(short, f"min_{end}")
        if longest is not None:
            setattr(short, f"max_{end}", min(longest, _TOKENS))
            setattr(short, f"min_{end}", None if shortest is None else min(shortest, _TOKENS))
    ids = tokenizer("a")["input_ids"] or [0]
    rows = [{"input_ids": ids}, {"input_ids": ids}]
    was_training, device = model.training, model.device
    model.eval()
    try:
        with (
            torch.no_grad(),
            autocast(model, settings.autocast),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        ):
            batch = {name: tensor.to(device) for name, tensor in collate.prompts(rows).items()}
            guard = LogitsGuard(samples=bool(short.do_sample))
            generate(model, tokenizer, batch, replace(settings, generation=short), guard)
    except torch.OutOfMemoryError:
        raise
    except _ERRORS as error:
        names = [spec.name for spec in fields(GenerationOptions)]
        problem = rejection("generation", error, changed_fields(options), names)
        what = f"a trial of the generation config failed: {problem.what or type(error).__name__}"
        hint = "Change generation.*, or correct the generation config of the model."
        raise ConfigError(replace(problem, what=what, hint=hint)) from error
    finally:
        model.train(was_training)
