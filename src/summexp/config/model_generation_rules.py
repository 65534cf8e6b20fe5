"""Validation rules of a model's own generation config: those of `generation.*`.

The checks read it from a local model's folder; a run reads it from the loaded model. What a key of
`generation.*` sets replaces the model's own value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from summexp.config.aliases import GONE, NO_EFFECT
from summexp.config.cross_section_rules import SAMPLING
from summexp.config.keys import format_type, type_names
from summexp.config.values import number_problem, shown, value_problem
from summexp.errors import ConfigError, Problem
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.evaluation.token_ids import id_problems
from summexp.modeling.config import ModelConfig
from summexp.options import changed_fields
from summexp.paths import at_home

_FILES = ("generation_config.json", "config.json")
"""In the order in which upstream looks for them."""
_NAMES = tuple(spec.name for spec in fields(GenerationOptions))
_FROM_THE_TOKENIZER = ("pad_token_id", "bos_token_id", "decoder_start_token_id")
"""Options that a run takes from the tokenizer and the model's shape."""
_ONE_DOCUMENT = ("use_mtp", "prompt_lookup_num_tokens", "assistant_early_exit", "speculation_type")
"""Options of assisted generation, which is faster, takes one document at a time, and has no other
effect."""
_CHECKED_ON_LOADING = (
    *("early_stopping", "max_new_tokens", "assistant_ensemble_weight", "cache_implementation"),
    *("num_return_sequences", "compile_config"),
)
"""Options that upstream (5.23) validates when it loads the model, so that no key replaces them."""


def folder_problems(config: ModelConfig, options: GenerationOptions) -> Iterator[Problem]:
    """Yield what is wrong with the generation config in the folder that `model.*` names.

    Args:
        config: the `model` group.
        options: the `generation` group.
    """
    folder = Path(at_home(config.name_or_path or ""))
    if config.init == "random" or not config.name_or_path or not folder.is_dir():
        return
    file = next((folder / name for name in _FILES if (folder / name).is_file()), None)
    own = {} if file is None else _content(file)
    if own is None:
        yield Problem(
            key="model.name_or_path",
            what=f"{file} is corrupt or truncated: it is not a JSON object",
            hint="Copy or download it again, or delete it.",
        )
        return
    own = {name: value for name, value in own.items() if name not in _FROM_THE_TOKENIZER}
    if type(own.get("eos_token_id")) is int:
        # The tokenizer's is added to it.
        del own["eos_token_id"]
    found = [*own_problems(own, options, f"in {file}"), *_loading_problems(own, f"in {file}")]
    yield from found
    wrong = {problem.key for problem in found}
    used = {**own, **changed_fields(options)}
    used = {name: value for name, value in used.items() if f"generation.{name}" not in wrong}
    size = _vocabulary(folder, config, used)
    if size is not None:
        yield from id_problems(used, size)


def own_problems(
    own: Mapping[str, Any], options: GenerationOptions, where: str
) -> Iterator[Problem]:
    """Yield the problem of each value of a model's own that is wrong or that nothing supports.

    Args:
        own: the model's generation config.
        options: the `generation` group, whose values replace the model's.
        where: where the model's values are from, for the messages.
    """
    chosen = changed_fields(options)
    own = {name: own[name] for name in _NAMES if own.get(name) is not None}
    used = {**own, **chosen}
    for name, value in own.items():
        replaced = name in chosen and name not in _CHECKED_ON_LOADING
        if replaced or (name in SAMPLING and used.get("do_sample") is not True):
            continue
        what = _value_problem(name, value)
        if what is not None:
            yield _problem(name, f"{where}: {what}", name not in _CHECKED_ON_LOADING)
    yield from _removed_modes(used, own, where)


def ignored_options(own: Mapping[str, Any], options: GenerationOptions) -> dict[str, str]:
    """Return each option of a model's own that a run ignores, and the reason.

    They do not change a summary: what else `generate` is to return, or how fast it is.
    """
    found = {}
    chosen = changed_fields(options)
    for key, (why, harmless) in NO_EFFECT.items():
        section, _, name = key.partition(".")
        if section == "generation" and own.get(name) not in (None, *harmless):
            found[name] = "transformers removed its code" if why == GONE else why
    for name in _ONE_DOCUMENT:
        if own.get(name):
            found[name] = "works for one document at a time only"
    return {name: why for name, why in found.items() if name not in chosen}


def _value_problem(name: str, value: Any) -> str | None:
    """Return what is wrong with a value, by type and range."""
    key = f"generation.{name}"
    types = type_names(key)
    # Text is converted on a command line, where all is text, but not in a model's config.
    if _holds_text(value) and not any("str" in one or one == "Any" for one in types):
        return f"{shown(value)} is not {format_type(key)}"
    check = number_problem if types == ["Any"] else value_problem
    if problem := check(key, value):
        return problem.what
    try:
        GenerationOptions(**{name: value})
    except ConfigError as error:
        return error.problems[0].what
    except TypeError:
        return f"{shown(value)} is not {format_type(key)}"
    return None


def _holds_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and any(map(_holds_text, value)))


_REMOVED = {
    "num_beam_groups": ("group beam search", "1"),
    "penalty_alpha": ("contrastive search", "0"),
    "dola_layers": ("DoLa decoding", "[]"),
    "constraints": ("constrained beam search", "[]"),
    "force_words_ids": ("constrained beam search", "[]"),
}
"""Options that choose a mode whose code transformers removed: the mode, and what disables it."""


def _removed_modes(
    used: Mapping[str, Any], own: Mapping[str, Any], where: str
) -> Iterator[Problem]:
    """Yield each option of the model's own that chooses a mode which was removed.

    The conditions are those of `GenerationConfig.get_generation_mode` (5.23).
    """
    searches, samples = _above(used.get("num_beams"), 1), used.get("do_sample") is True
    active = {
        "num_beam_groups": searches and _above(used.get("num_beam_groups"), 1),
        "penalty_alpha": not searches and not samples and _above(used.get("penalty_alpha"), 0),
        "dola_layers": not searches and bool(used.get("dola_layers")),
        "constraints": bool(used.get("constraints")),
        "force_words_ids": bool(used.get("force_words_ids")),
    }
    for name, (mode, off) in _REMOVED.items():
        if active[name] and name in own and used[name] == own[name]:
            yield Problem(
                key=f"generation.{name}",
                what=f"{where}: {shown(own[name])} chooses {mode}, whose code transformers removed",
                hint=f"Set generation.{name}={off} to generate without it.",
            )


def _above(value: Any, limit: int) -> bool:
    return isinstance(value, int | float) and value > limit


def _loading_problems(own: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """Yield what upstream (5.23) rejects when it loads the model, whatever the keys say."""
    several, beams = own.get("num_return_sequences") or 1, own.get("num_beams") or 1
    most = beams if _above(beams, 1) else 1
    if _above(several, most) and (most > 1 or own.get("do_sample") is not True):
        what = f"{where}: {several} summaries of a document are more than the beams ({most})"
        yield _problem("num_return_sequences", what, replaceable=False)
    banned = _ids(own, "suppress_tokens")
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        if (forced := _ids(own, name)) and set(forced) <= set(banned):
            what = f"{where}: {shown(own[name])} is also one of suppress_tokens"
            yield _problem(name, what, replaceable=False)
    if own.get("compile_config") is not None:
        what = f"{where}: transformers cannot load it from a file"
        yield _problem("compile_config", what, replaceable=False)


def _ids(own: Mapping[str, Any], name: str) -> list[int]:
    value = own.get(name)
    return [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]


def _problem(name: str, what: str, replaceable: bool) -> Problem:
    hint = f"Correct or remove {name} in that config"
    hint += f", or set generation.{name} to replace it." if replaceable else "."
    return Problem(key=f"generation.{name}", what=what, hint=hint)


def _content(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _vocabulary(folder: Path, config: ModelConfig, used: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model in a folder has, or None if that is not known.

    A run makes the embeddings as large as the tokenizer, if they are smaller. The tokenizer is a
    large file, read only where an ID in use is not one of the embeddings.
    """
    shape = _content(folder / "config.json") or {}
    size = shape.get("vocab_size")
    if type(size) is not int or config.config_name or config.tokenizer_name:
        return None
    if not [*id_problems(used, size)]:
        return size
    try:
        tokenizer: Any = _content(folder / "tokenizer.json")
        added = [token["id"] + 1 for token in tokenizer["added_tokens"]]
        return int(max(size, len(tokenizer["model"]["vocab"]), *added))
    except (KeyError, TypeError):
        return None
