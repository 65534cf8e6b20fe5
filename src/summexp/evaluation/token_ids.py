"""Token IDs in a generation config: each must be one of the model's vocabulary.

Upstream finds others in the middle of a generation: an IndexError on a CPU; on a GPU an assertion
that ends the process.

Tested in tests/config/test_model_generation_rules.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from summexp.errors import Problem

_OPTIONS = (
    *("pad_token_id", "eos_token_id", "decoder_start_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id"),
    *("suppress_tokens", "begin_suppress_tokens", "bad_words_ids", "sequence_bias"),
)


def id_problems(values: Mapping[str, Any], vocabulary: int) -> Iterator[Problem]:
    """Yield each option of generation that names a token which the model does not have.

    Args:
        values: options of `generation.*`, name to value.
        vocabulary: number of tokens of the model.
    """
    for name in _OPTIONS:
        ids = [*_ids(name, values.get(name))]
        wrong = [one for one in ids if type(one) is not int or not 0 <= one < vocabulary]
        numbers = all(type(one) is int for one in ids)
        if name == "eos_token_id" and numbers and len(wrong) < len(ids):
            # Summaries end with the others; published models have such ones.
            continue
        if wrong:
            yield Problem(
                key=f"generation.{name}",
                what=f"{wrong[0]!r} is not the ID of a token: the model has {vocabulary:,}, "
                "counted from 0",
                hint=f"Set generation.{name} to an ID of this model's vocabulary, or correct its "
                "generation config.",
            )


def _ids(name: str, value: Any) -> Iterable[Any]:
    """Yield the IDs of a value: one, a list, or a list of sequences."""
    if value is None:
        return
    if name == "sequence_bias":
        # A mapping from sequences, or a list of pairs of a sequence and a number.
        value = [pair[0] for pair in value if isinstance(pair, list)]
    if isinstance(value, list | tuple | set):
        for one in value:
            yield from _ids("", one)
    else:
        yield value
