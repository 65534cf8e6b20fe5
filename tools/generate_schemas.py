"""Write the static schemas of `training.*` and `generation.*` from the installed transformers.

Run it after transformers was updated, then write a sentence for each field that came without one:

    python tools/generate_schemas.py            # writes both modules
    python tools/generate_schemas.py --check    # exit code 1 if they are not what it would write

Names, types, defaults and allowed values come from upstream. The sentences under the fields are
ours: they are kept from the module that is there, and a new field gets an empty one, which a test
refuses.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import enum
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

SUMMEXP = Path(__file__).resolve().parents[1] / "src" / "summexp"
TRAINING_FILE = SUMMEXP / "engines" / "generated" / "training_config.py"
GENERATION_FILE = SUMMEXP / "evaluation" / "generated" / "generation_options.py"
LINE_LENGTH = 100

TOKEN_COUNTS = ("all", "non_padding", "no")
"""Values of `include_num_input_tokens_seen`, which upstream names only in its help text."""

GENERATION_TYPES: dict[str, str] = {
    "max_length": "int",
    "max_new_tokens": "int",
    "min_length": "int",
    "min_new_tokens": "int",
    "early_stopping": "bool | str",
    "max_time": "float",
    "stop_strings": "Any",
    "do_sample": "bool",
    "num_beams": "int",
    "use_mtp": "bool",
    "use_cache": "bool",
    "cache_implementation": "str",
    "cache_config": "Any",
    "max_cache_len": "int",
    "temperature": "float",
    "top_k": "int",
    "top_p": "float",
    "min_p": "float",
    "top_h": "float",
    "typical_p": "float",
    "epsilon_cutoff": "float",
    "eta_cutoff": "float",
    "repetition_penalty": "float",
    "encoder_repetition_penalty": "float",
    "length_penalty": "float",
    "no_repeat_ngram_size": "int",
    "bad_words_ids": "list[list[int]]",
    "renormalize_logits": "bool",
    "forced_bos_token_id": "int",
    "forced_eos_token_id": "Any",
    "remove_invalid_values": "bool",
    "exponential_decay_length_penalty": "list[float]",
    "suppress_tokens": "list[int]",
    "begin_suppress_tokens": "list[int]",
    "sequence_bias": "Any",
    "token_healing": "bool",
    "guidance_scale": "float",
    "watermarking_config": "Any",
    "num_return_sequences": "int",
    "output_attentions": "bool",
    "output_hidden_states": "bool",
    "output_scores": "bool",
    "output_logits": "bool",
    "return_dict_in_generate": "bool",
    "pad_token_id": "int",
    "bos_token_id": "int",
    "eos_token_id": "Any",
    "encoder_no_repeat_ngram_size": "int",
    "decoder_start_token_id": "Any",
    "is_assistant": "bool",
    "num_assistant_tokens": "int",
    "num_assistant_tokens_schedule": "str",
    "assistant_confidence_threshold": "float",
    "prompt_lookup_num_tokens": "int",
    "max_matching_ngram_size": "int",
    "assistant_early_exit": "int",
    "assistant_lookbehind": "int",
    "target_lookbehind": "int",
    "assistant_ensemble_weight": "float",
    "speculation_type": "str",
    "compile_config": "Any",
    "disable_compile": "bool",
    "continuous_batching_config": "Any",
    "low_memory": "bool",
    "penalty_alpha": "float",
    "dola_layers": "Any",
    "diversity_penalty": "float",
    "num_beam_groups": "int",
    "constraints": "Any",
    "force_words_ids": "Any",
    "prefill_chunk_size": "int",
}
"""Type of each generation option, None aside.

`GenerationConfig` has no annotations: these are read from its docstring and from the code that
uses the values. What takes either a value or a list, or a mapping, is Any, since OmegaConf 2.3 has
no type for it.
"""

GENERATION_CHOICES: dict[str, tuple[str, ...]] = {
    "num_assistant_tokens_schedule": ("constant", "heuristic", "heuristic_transient"),
    "speculation_type": ("dflash",),
}
"""Allowed values that upstream names only in its docstring; it passes over others in silence."""

GENERATION_METADATA = ("_from_model_config", "transformers_version")
"""What a `GenerationConfig` holds that is no option of generation."""


@dataclasses.dataclass(frozen=True)
class SchemaField:
    """One field of a schema, as source text."""

    name: str
    """Upstream's own name."""
    annotation: str
    """The type, as OmegaConf 2.3 understands it."""
    default: str
    """The default's source text."""
    allowed: tuple[str, ...] = ()
    """The values it takes, if they are a closed set."""


def training_fields() -> Iterator[SchemaField]:
    """Yield every field of the installed `Seq2SeqTrainingArguments`, in upstream's order."""
    from transformers import Seq2SeqTrainingArguments

    hints = get_type_hints(Seq2SeqTrainingArguments)
    for spec in dataclasses.fields(Seq2SeqTrainingArguments):
        allowed = _allowed_values(spec, hints[spec.name])
        annotation = _annotation(hints[spec.name], closed=bool(allowed))
        # Upstream reads the bare flag `--fsdp` as True although its type is text.
        if spec.metadata.get("const") is True and annotation == "str | None":
            annotation = "str | bool | None"
        if spec.default_factory is list:
            default = "field(default_factory=list)"
        else:
            default = _literal(spec.default)
        yield SchemaField(spec.name, annotation, default, allowed)


def generation_fields() -> Iterator[SchemaField]:
    """Yield every option of the installed `GenerationConfig`, in upstream's order."""
    from transformers import GenerationConfig
    from transformers.generation import configuration_utils

    allowed = GENERATION_CHOICES | {
        "cache_implementation": (*configuration_utils.ALL_CACHE_IMPLEMENTATIONS, "paged")
    }
    names = [name for name in GenerationConfig().to_dict() if name not in GENERATION_METADATA]
    if set(names) != set(GENERATION_TYPES):
        differing = sorted(set(names) ^ set(GENERATION_TYPES))
        sys.exit(f"GENERATION_TYPES is not what transformers has: {', '.join(differing)}")
    for name in names:
        hint = GENERATION_TYPES[name]
        annotation = hint if hint == "Any" else f"{hint} | None"
        yield SchemaField(name, annotation, "None", allowed.get(name, ()))


def _allowed_values(spec: dataclasses.Field[Any], hint: Any) -> tuple[str, ...]:
    if spec.name == "include_num_input_tokens_seen":
        return TOKEN_COUNTS
    for part in get_args(hint):
        if isinstance(part, type) and issubclass(part, enum.Enum):
            return tuple(member.value for member in part)
    return tuple(spec.metadata.get("choices", ()))


def _annotation(hint: Any, *, closed: bool) -> str:
    """Return upstream's type as one that a structured config of OmegaConf 2.3 can hold.

    Enums and classes that can also be given as text become text. A list beside something else, and
    every mapping, become Any: a typed mapping in a structured config would refuse new keys.
    """
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    names = []
    for part in parts:
        if part is types.NoneType:
            names.append("None")
        elif get_origin(part) is Literal:
            names += sorted({type(value).__name__ for value in get_args(part)})
        elif part in (bool, int, float, str):
            names.append(part.__name__)
        elif part == list[str]:
            names.append("list[str]")
        elif get_origin(part) in (dict, list) or part is dict or str not in parts:
            return "Any"
    if closed:
        names = [name for name in names if name in ("str", "None")]
    if "list[str]" in names and set(names) - {"list[str]", "None"}:
        return "Any"
    return " | ".join(sorted(names, key=lambda name: name == "None"))


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return repr(value)


def render(
    class_name: str, title: str, check: str, fields: list[SchemaField], sentences: dict[str, str]
) -> str:
    """Return the source of a schema module.

    Args:
        class_name: name of the dataclass.
        title: first line of the module's and the class's docstring, without full stop.
        check: the function that holds the cross-field rules, after its module's dotted name.
        fields: the fields.
        sentences: the sentence under each field; a field that has none gets an empty one.
    """
    imports = (
        "dataclass, field" if any("field(" in spec.default for spec in fields) else "dataclass"
    )
    module, _, function = check.rpartition(".")
    head = f'''"""{title}.

Written by `tools/generate_schemas.py` from the installed transformers: edit only the sentences.
"""

from __future__ import annotations

from dataclasses import {imports}
from typing import Any

from {module} import {function}
from summexp.options import choice


@dataclass(kw_only=True)
class {class_name}:
    """{title}."""

'''
    body = "".join(
        f'    {_declaration(spec)}\n    """{sentences.get(spec.name, "")}"""\n' for spec in fields
    )
    return f"{head}{body}\n    def __post_init__(self) -> None:\n        {function}(self)\n"


def _declaration(spec: SchemaField) -> str:
    start = f"{spec.name}: {spec.annotation} = "
    if not spec.allowed:
        return start + spec.default
    values = [spec.default, *(_literal(value) for value in spec.allowed)]
    line = f"{start}choice({', '.join(values)})"
    if len(line) + 4 <= LINE_LENGTH:
        return line
    return f"{start}choice(\n" + "".join(f"        {value},\n" for value in values) + "    )"


def kept_sentences(path: Path) -> dict[str, str]:
    """Return the sentence under each field in the module at `path`; none if there is no module."""
    if not path.exists():
        return {}
    sentences = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for above, below in zip(node.body, node.body[1:], strict=False):
                if isinstance(above, ast.AnnAssign) and isinstance(below, ast.Expr):
                    sentences[ast.unparse(above.target)] = ast.literal_eval(below.value)
    return sentences


def modules() -> dict[Path, str]:
    """Return the source of both modules, file to text."""
    return {
        TRAINING_FILE: render(
            "TrainingConfig",
            "Every field of transformers' `Seq2SeqTrainingArguments`, with upstream's defaults",
            "summexp.engines.training_rules.check_training",
            list(training_fields()),
            kept_sentences(TRAINING_FILE),
        ),
        GENERATION_FILE: render(
            "GenerationOptions",
            "Every option of transformers' `GenerationConfig`; null leaves it to the model's own",
            "summexp.evaluation.generation_rules.check_generation",
            list(generation_fields()),
            kept_sentences(GENERATION_FILE),
        ),
    }


def main() -> int:
    """Write the modules, or with --check say which of them is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    check = parser.parse_args().check
    stale = {
        path: text
        for path, text in modules().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        print(f"{path.name} {'is out of date' if check else 'is written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
