"""Encoder-decoder or decoder-only: what a choice of the one or the other rules out.

Cheap: which of the two a folder holds is read from its config.json alone.

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
"""How the class of a decoder-only model is called; some of BERT's kin are called so too."""


def is_decoder_only_folder(config: ModelConfig) -> bool | None:
    """Return the kind of model that `model.*` names, or None where only loading it would show."""
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
    """Yield each key that has no meaning for a model of this kind.

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
                what="goes between document and summary, which an encoder-decoder reads apart",
                hint="Leave it away; model.source_prefix goes before the document.",
            )
        return
    for name in ("lang", "forced_bos_token"):
        if getattr(config.model, name) is not None:
            yield Problem(
                key=f"model.{name}",
                what="is for multilingual encoder-decoders, and the model is decoder-only",
                hint="Leave it away (null); name the language in model.target_prefix.",
            )
    if config.model.resize_position_embeddings:
        yield Problem(
            key="model.resize_position_embeddings",
            what="extends those of encoder-decoders, and the model is decoder-only",
            hint="Leave it away, and set data.max_source_length to what the model takes.",
        )
    if config.engine.loss == "upstream":
        yield Problem(
            key="engine.loss",
            what="upstream is that of the old scripts, which take no decoder-only model",
            hint="Set engine.loss=token_mean, and leave experiment=hf_parity away.",
        )
    if not config.data.ignore_pad_token_for_loss:
        yield Problem(
            key="data.ignore_pad_token_for_loss",
            what="is false, and a decoder-only model may pad with the token that ends a summary",
            hint="Leave it away.",
        )
    if config.hardware.backend == "xla":
        yield Problem(
            key="hardware.backend",
            what="xla generates with encoder-decoders, and the model is decoder-only",
            hint="Choose another hardware, or an encoder-decoder.",
        )
