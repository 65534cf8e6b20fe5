from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.modeling.tiny_models import config as tiny_config
from tests.modeling.tiny_models import make

from summexp.config.aliases import NO_EFFECT
from summexp.config.model_generation_rules import folder_problems, ignored_options, own_problems
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.evaluation.token_ids import id_problems
from summexp.modeling.config import ModelConfig


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "bart"
    tiny = make(tiny_config("bart"))
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return folder


def found(
    folder: Path, own: dict[str, Any] | str, file: str = "generation_config.json", **options: Any
) -> dict[str | None, str]:
    """Return the problems of a model's folder with `own` in its generation config, by key."""
    path, before = folder / file, (folder / file).read_text("utf-8")
    text = own if isinstance(own, str) else json.dumps({**json.loads(before), **own})
    path.write_text(text, encoding="utf-8")
    try:
        model = ModelConfig(name_or_path=str(folder))
        problems = [*folder_problems(model, GenerationOptions(**options))]
    finally:
        path.write_text(before, encoding="utf-8")
    assert all(problem.hint for problem in problems)
    return {problem.key: f"{problem.what} {problem.hint}" for problem in problems}


GROUPS = {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5}


@pytest.mark.parametrize(
    ("own", "key", "disabled", "others"),
    [
        (GROUPS, "num_beam_groups", 1, {"num_beams": 1}),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha", 0, {"do_sample": True}),
        ({"penalty_alpha": 0.6}, "penalty_alpha", 0, {"num_beams": 2}),
        ({"dola_layers": "low"}, "dola_layers", [], {"num_beams": 2}),
        ({"force_words_ids": [[4]], "num_beams": 2}, "force_words_ids", [], {}),
        ({"constraints": ["x"], "num_beams": 2}, "constraints", [], {}),
    ],
)
def test_a_mode_that_was_removed_is_named_with_what_disables_it(
    bart: Path, own: dict[str, Any], key: str, disabled: Any, others: dict[str, Any]
) -> None:
    problems = found(bart, own)
    assert [*problems] == [f"generation.{key}"]
    text = problems[f"generation.{key}"]
    assert f"in {bart / 'generation_config.json'}: " in text
    assert f"Set generation.{key}={json.dumps(disabled)} " in text
    assert found(bart, own, **{key: disabled}) == {}
    if others:
        # Another mode makes no use of it.
        assert found(bart, own, **others) == {}


@pytest.mark.parametrize(
    ("own", "key", "what"),
    [
        ({"num_beams": "4"}, "num_beams", "'4' is not an integer"),
        ({"num_beams": 2.5}, "num_beams", "2.5 is not an integer"),
        ({"num_beams": [4]}, "num_beams", "[4] is not an integer"),
        ({"max_length": "20"}, "max_length", "'20' is not an integer"),
        ({"do_sample": "yes"}, "do_sample", "'yes' is not true or false"),
        ({"length_penalty": "x"}, "length_penalty", "'x' is not a number"),
        ({"suppress_tokens": ["4"]}, "suppress_tokens", "['4'] is not a list of integers"),
        ({"min_length": -1}, "min_length", "must be at least 0, not -1"),
        ({"repetition_penalty": 0}, "repetition_penalty", "must be above 0, not 0"),
        ({"do_sample": True, "temperature": 0.0}, "temperature", "must be above 0, not 0.0"),
        ({"do_sample": True, "top_p": 1.5}, "top_p", "must lie between 0 and 1, not 1.5"),
        ({"exponential_decay_length_penalty": [3]}, "exponential_decay_length_penalty", "two"),
        ({"forced_bos_token_id": 99999}, "forced_bos_token_id", "99999 is not the ID of a token"),
        ({"forced_eos_token_id": [2, -1]}, "forced_eos_token_id", "-1 is not the ID of a token"),
        ({"bad_words_ids": [[3], [99999]]}, "bad_words_ids", "99999 is not the ID of a token"),
        ({"sequence_bias": [[[99999], -1.0]]}, "sequence_bias", "99999 is not the ID of a token"),
    ],
)
def test_a_wrong_value_names_its_key_and_may_be_replaced(
    bart: Path, own: dict[str, Any], key: str, what: str
) -> None:
    for file in ("generation_config.json", "config.json"):
        if file == "config.json":
            # Older models have their options there.
            (bart / "generation_config.json").rename(bart / "other.json")
        try:
            problems = found(bart, own, file)
        finally:
            if file == "config.json":
                (bart / "other.json").rename(bart / "generation_config.json")
        assert what in problems[f"generation.{key}"]
    right: dict[str, Any] = {
        "do_sample": False, "suppress_tokens": [4], "bad_words_ids": [[4]],
        "sequence_bias": [[[4], -1.0]], "exponential_decay_length_penalty": [3.0, 1.5],
        "length_penalty": 1.0, "top_p": 0.5, "temperature": 0.5,
    }  # fmt: skip
    assert f"generation.{key}" not in found(bart, own, **{key: right.get(key, 2)})


@pytest.mark.parametrize(
    ("own", "key"),
    [
        ({"early_stopping": "sometimes"}, "early_stopping"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"cache_implementation": "bogus"}, "cache_implementation"),
        ({"num_return_sequences": 3}, "num_return_sequences"),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences"),
        ({"compile_config": {"dynamic": True}}, "compile_config"),
        ({"suppress_tokens": [2, 5], "forced_bos_token_id": 5}, "forced_bos_token_id"),
    ],
)
def test_what_upstream_rejects_on_loading_cannot_be_replaced(
    bart: Path, own: dict[str, Any], key: str
) -> None:
    from transformers import GenerationConfig

    with pytest.raises(ValueError, match=r"."):
        GenerationConfig.from_dict(own)
    text = found(bart, own)[f"generation.{key}"]
    assert text.endswith(f"Correct or remove {key} in that config.")


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"return_dict_in_generate": True, "output_scores": True, "output_attentions": True},
        {"num_beams": 4, "num_return_sequences": 3},
        {"do_sample": True, "num_return_sequences": 3},
        {"num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": 0.0},
        {"temperature": 0.0, "top_p": 0.0},
        {"min_length": 56, "max_length": 20},
        {"max_length": 20, "max_new_tokens": 30},
        {"eos_token_id": 99999, "pad_token_id": -1, "bos_token_id": 99999},
        {"eos_token_id": [2, 99999]},
        {"prompt_lookup_num_tokens": 3, "is_assistant": True, "low_memory": True},
        {"unknown": "x", "watermarking_config": {"bias": 2.5}},
    ],
)
def test_what_a_run_can_do_with_is_no_problem(bart: Path, own: dict[str, Any]) -> None:
    assert found(bart, own) == {}


def test_a_generation_config_that_is_no_json_is_not_ignored(bart: Path) -> None:
    for text in ("{", "[]", ""):
        assert "not a JSON object" in found(bart, text)["model.name_or_path"]


def test_the_tokens_of_a_larger_tokenizer_are_those_of_the_model(bart: Path) -> None:
    content = json.loads((bart / "tokenizer.json").read_text("utf-8"))
    tokens = len(content["model"]["vocab"]) + len(content["added_tokens"])
    shape = (bart / "config.json").read_text("utf-8")
    smaller = {**json.loads(shape), "vocab_size": 5}
    (bart / "config.json").write_text(json.dumps(smaller), encoding="utf-8")
    try:
        assert found(bart, {"forced_bos_token_id": 20}) == {}
        (key,) = found(bart, {"forced_bos_token_id": tokens})
    finally:
        (bart / "config.json").write_text(shape, encoding="utf-8")
    assert key == "generation.forced_bos_token_id"


def test_options_that_change_no_summary_are_ignored() -> None:
    options = GenerationOptions()
    assert ignored_options({}, options) == {}
    harmless = {key.partition(".")[2]: each[0] for key, (_, each) in NO_EFFECT.items() if each}
    assert ignored_options(harmless, options) == {}
    own = {"output_scores": True, "num_return_sequences": 3, "low_memory": True, "use_mtp": True}
    assert [*ignored_options({**own, "num_beams": 4}, options)] == [
        *("num_return_sequences", "output_scores", "low_memory", "use_mtp")
    ]
    assert "low_memory" not in ignored_options(own, GenerationOptions(low_memory=False))


def test_no_option_without_effect_on_the_command_line_is_passed_on_from_a_model() -> None:
    """Each is ignored, or its mode is rejected."""
    values = {"dola_layers": "low", "constraints": ["x"], "force_words_ids": [[1]]}
    for key in NO_EFFECT:
        section, _, name = key.partition(".")
        if section == "generation":
            own = {name: values.get(name, 2)}
            rejected = [*own_problems(own, GenerationOptions(), "here")]
            assert rejected or name in ignored_options(own, GenerationOptions())


def test_a_token_id_is_one_of_the_vocabulary() -> None:
    def keys(**values: Any) -> list[str | None]:
        return [problem.key for problem in id_problems(values, 10)]

    assert keys(pad_token_id=0, eos_token_id=9, suppress_tokens=[1, 9]) == []
    assert keys(pad_token_id=10) == ["generation.pad_token_id"]
    assert keys(decoder_start_token_id=[1, -1]) == ["generation.decoder_start_token_id"]
    assert keys(forced_bos_token_id=True) == ["generation.forced_bos_token_id"]
    # A summary ends with any of several end tokens.
    assert keys(eos_token_id=[9, 10]) == []
    assert keys(eos_token_id=[10, 11]) == ["generation.eos_token_id"]
    assert keys(eos_token_id=["9", 9]) == ["generation.eos_token_id"]
    assert keys(bad_words_ids=[[1, 2], [10]]) == ["generation.bad_words_ids"]
    assert keys(sequence_bias=[[[1, 2], -10.0]]) == []
    assert keys(sequence_bias=[[[1, 10], -10.0]]) == ["generation.sequence_bias"]
