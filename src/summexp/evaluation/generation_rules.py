"""Validation rules of `generation.*`, without importing transformers.

Upstream checks most of them too, but reports one at a time, in the middle of the first evaluation.
A test holds both to each other. `hf_generation_config.py` passes on whatever else upstream rejects.

Tested in tests/engines/test_schemas.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.options import raise_problems, too_small

_MINIMA = {
    "max_length": 1,
    "max_new_tokens": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "num_beams": 1,
    "top_k": 0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
}

_POSITIVE = ("temperature", "repetition_penalty", "encoder_repetition_penalty")

_PROBABILITIES = ("top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")


def check_generation(options: GenerationOptions) -> None:
    """Raise ConfigError with every rule that the options of `generation.*` break together."""
    raise_problems("generation", _generation_problems(options))


def _generation_problems(options: GenerationOptions) -> Iterator[tuple[str, str]]:
    yield from too_small(options, _MINIMA)
    for end in ("max", "min"):
        both = (getattr(options, f"{end}_length"), getattr(options, f"{end}_new_tokens"))
        if None not in both:
            yield (
                f"{end}_length",
                f"is set together with generation.{end}_new_tokens; set one of them to null",
            )
    shortest, longest = options.min_length, options.max_length
    if shortest is not None and longest is not None and shortest > longest:
        yield "min_length", f"is above generation.max_length ({longest})"
    if isinstance(options.early_stopping, str) and options.early_stopping != "never":
        yield "early_stopping", f"takes true, false or never, not {options.early_stopping!r}"
    for name in _POSITIVE:
        value = getattr(options, name)
        if value is not None and value <= 0:
            yield name, f"must be above 0, not {value}"
    for name in _PROBABILITIES:
        value = getattr(options, name)
        if value is not None and not 0 <= value <= 1:
            yield name, f"must lie between 0 and 1, not {value}"
    penalty = options.exponential_decay_length_penalty
    if penalty is not None and len(penalty) != 2:
        yield "exponential_decay_length_penalty", "takes two numbers, [tokens, factor]"
