"""Validation rules that depend on the kind of model: encoder-decoder or decoder-only.

The kind of a local model is read from its `config.json`.

Tested in tests/engines/test_decoder_only.py, tests/integration/test_decoder_only.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from summexp.config.schema import Config
from summexp.errors import Problem
from summexp.modeling.config import ModelConfig

_DECODER = re.compile(r"(ForCausalLM|LMHeadModel)$")
"""Class names of decoder-only models; some BERT models have such names too."""


def is_decoder_only_folder(config: ModelConfig) -> bool | None:
    """Return whether `model.*` names a decoder-only model, or None if that is unknown."""
    name = config.config_name or config.name_or_path
    if not name or (config.init == "random" and config.architecture.get("model_type")):
        return None
    try:
        text = Path(name, "config.json").read_text(encoding="utf-8")
        shape = json.loads(text)
        if shape.get("is_encoder_decoder"):
            return False
        is_decoder = any(_DECODER.search(one) for one in shape.get("architectures") or ())
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return True if is_decoder else None


def kind_problems(config: Config, *, decoder_only: bool | None) -> Iterator[Problem]:
    """Yield each key that does not apply to a model of this kind.

    Args:
        config: the whole config.
        decoder_only: whether it is a decoder-only model, or None if that is not known.
    """
    if decoder_only is None:
        return
    if not decoder_only:
        if config.model.target_prefix is not None:
            yield Problem(
                key="model.target_prefix",
                what="is for decoder-only models, and the model is an encoder-decoder",
                hint="Remove it; model.source_prefix sets the text before the document.",
            )
        return
    for name in ("lang", "forced_bos_token"):
        if getattr(config.model, name) is not None:
            yield Problem(
                key=f"model.{name}",
                what="is for multilingual encoder-decoders, and the model is decoder-only",
                hint="Remove it (null); name the language in model.target_prefix.",
            )
    if config.model.resize_position_embeddings:
        yield Problem(
            key="model.resize_position_embeddings",
            what="is for encoder-decoders, and the model is decoder-only",
            hint="Remove it, and set data.max_source_length to the model's limit.",
        )
    if config.engine.loss == "upstream":
        yield Problem(
            key="engine.loss",
            what="upstream is the loss of the old scripts, which only support encoder-decoders",
            hint="Set engine.loss=token_mean, and remove experiment=hf_parity.",
        )
    if not config.data.ignore_pad_token_for_loss:
        yield Problem(
            key="data.ignore_pad_token_for_loss",
            what="is false, and a decoder-only model may pad with the end token",
            hint="Remove it.",
        )
    if config.hardware.backend == "xla":
        yield Problem(
            key="hardware.backend",
            what="xla only supports encoder-decoders, and the model is decoder-only",
            hint="Choose another hardware, or an encoder-decoder.",
        )
