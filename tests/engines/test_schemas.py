"""The static schemas against the installed transformers, and what is built from them."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from summexp.config.aliases import ALIASES
from summexp.engines.generated.training_config import TrainingConfig
from summexp.engines.hf_training_arguments import training_arguments
from summexp.errors import ConfigError
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.evaluation.hf_generation_config import generation_config
from summexp.options import changed_fields, declared_choices, field_docs

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = [TrainingConfig, GenerationOptions]

MAPPINGS = {
    "lr_scheduler_kwargs": {"num_cycles": 2},
    "activation_checkpointing_kwargs": {"use_reentrant": False},
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
    "liger_kernel_config": {"rope": True},
    "accelerator_config": {"split_batches": True},
    "parallelism_config": {"dp_shard_size": 2},
    "fsdp_config": {"cpu_offload": True},
    "deepspeed": {"zero_optimization": {"stage": 2}},
}
"""Training fields that take a mapping, and one that they take."""


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_schemas", ROOT / "tools" / "generate_schemas.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_schemas"] = module
    spec.loader.exec_module(module)
    return module


def arguments(config: TrainingConfig, **over: Any) -> Any:
    return training_arguments(config, output_dir=Path("run"), seed=7, report_to=[], **over)


def upstream_names() -> dict[type, list[str]]:
    from transformers import GenerationConfig, Seq2SeqTrainingArguments

    metadata = {"_from_model_config", "transformers_version"}
    return {
        TrainingConfig: [spec.name for spec in dataclasses.fields(Seq2SeqTrainingArguments)],
        GenerationOptions: [name for name in GenerationConfig().to_dict() if name not in metadata],
    }


# --- the schemas are those of the installed version


@pytest.mark.parametrize("schema", SCHEMAS)
def test_names_and_their_order_are_upstreams(schema: type) -> None:
    assert [spec.name for spec in dataclasses.fields(schema)] == upstream_names()[schema]


def test_regenerating_gives_the_same_bytes(generator: ModuleType) -> None:
    for path, text in generator.modules().items():
        assert path.read_bytes() == text.encode(), f"run tools/generate_schemas.py for {path.name}"


def test_a_new_field_gets_an_empty_sentence_and_a_kept_one_keeps_its_own(
    generator: ModuleType, tmp_path: Path
) -> None:
    field = generator.SchemaField
    text = generator.render(
        "C",
        "Title",
        "summexp.engines.training_rules.check_training",
        [field("old", "int", "1"), field("new", "str", '"a"')],
        {"old": "Kept."},
    )  # fmt: skip
    path = tmp_path / "schema.py"
    path.write_text(text)
    assert generator.kept_sentences(path) == {"old": "Kept.", "new": ""}


def test_training_defaults_are_upstreams() -> None:
    from transformers import Seq2SeqTrainingArguments

    ours = TrainingConfig()
    for spec in dataclasses.fields(Seq2SeqTrainingArguments):
        factory = spec.default_factory
        default = spec.default if factory is dataclasses.MISSING else factory()
        assert getattr(ours, spec.name) == default, spec.name


def test_training_types_are_upstreams() -> None:
    """Plain types are the same; only enums, mappings and lists beside text are told otherwise."""
    from transformers import Seq2SeqTrainingArguments

    ours = get_type_hints(TrainingConfig)
    theirs = get_type_hints(Seq2SeqTrainingArguments)
    choices = dict(declared_choices(TrainingConfig))
    differing = {name for name in ours if ours[name] != theirs[name]}
    enums = {"lr_scheduler_type", "optim", "hub_strategy"} | {
        f"{kind}_strategy" for kind in ("logging", "eval", "save")
    }
    open_ended = {name for name in ours if ours[name] is Any}
    assert open_ended == {*MAPPINGS, "optim_target_modules", "report_to", "debug"}
    assert differing - open_ended == enums | {
        "include_num_input_tokens_seen",  # text or bool: a closed set of texts
        "trackio_static_space_id",  # Literal[False] is a bool
        "fsdp",  # text, but True is what upstream asks for
        "generation_config",  # a path is text
    }
    assert all(ours[name] is str and name in choices for name in enums)


def test_generation_defaults_leave_everything_to_the_model() -> None:
    from transformers import GenerationConfig

    upstream = GenerationConfig().to_dict()
    assert {name for name, value in upstream.items() if value is not None} == {
        "transformers_version"
    }
    assert changed_fields(GenerationOptions()) == {}
    assert set(dataclasses.asdict(GenerationOptions()).values()) == {None}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_field_has_a_sentence_of_our_own(schema: type) -> None:
    from transformers import GenerationConfig, Seq2SeqTrainingArguments, TrainingArguments

    texts = [cls.__doc__ for cls in (GenerationConfig, Seq2SeqTrainingArguments, TrainingArguments)]
    texts += [
        spec.metadata.get("help", "") for spec in dataclasses.fields(Seq2SeqTrainingArguments)
    ]
    theirs = " ".join(" ".join(texts).lower().split())
    docs = field_docs(schema)
    assert list(docs) == upstream_names()[schema]
    for name, text in docs.items():
        assert text, f"{name} has no sentence"
        assert len(text) <= 96, name
        assert text.endswith("."), name
        if len(text.split()) > 2:
            assert text.lower().rstrip(".") not in theirs, f"{name} repeats upstream's words"


@pytest.mark.parametrize(
    "module",
    [
        "engines.generated.training_config",
        "evaluation.generated.generation_options",
        "engines.hf_training_arguments",
        "evaluation.hf_generation_config",
    ],
)
def test_importing_a_schema_loads_neither_torch_nor_transformers(module: str) -> None:
    code = (
        f"import sys, summexp.{module}\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- they are structured configs


@pytest.mark.parametrize("schema", SCHEMAS)
def test_round_trip_through_a_structured_config(schema: type) -> None:
    node = OmegaConf.structured(schema)
    assert OmegaConf.to_object(node) == schema()
    again = OmegaConf.merge(node, OmegaConf.create(OmegaConf.to_yaml(node)))
    assert OmegaConf.to_object(again) == schema()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_unknown_key_is_rejected(schema: type) -> None:
    with pytest.raises(OmegaConfBaseException):
        OmegaConf.merge(OmegaConf.structured(schema), {"learning_rat": 1})


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        (TrainingConfig, "learning_rate=abc"),
        (TrainingConfig, "per_device_train_batch_size=1.5"),
        (TrainingConfig, "fp16=maybe"),
        (TrainingConfig, "fsdp=3"),
        (GenerationOptions, "num_beams=four"),
        (GenerationOptions, "bad_words_ids=[a]"),
        (GenerationOptions, "suppress_tokens=[a]"),
        (GenerationOptions, "early_stopping=1.5"),
    ],
)
def test_a_value_of_the_wrong_type_is_rejected(schema: type, word: str) -> None:
    with pytest.raises(OmegaConfBaseException):
        OmegaConf.merge(OmegaConf.structured(schema), OmegaConf.from_dotlist([word]))


@pytest.mark.parametrize("name", MAPPINGS)
def test_an_open_field_takes_a_mapping_text_and_null(name: str) -> None:
    node = OmegaConf.structured(TrainingConfig)
    for value in (MAPPINGS[name], "options.json", None):
        merged = OmegaConf.merge(node, OmegaConf.create({name: value}))
        assert getattr(OmegaConf.to_object(merged), name) == value


# --- closed sets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, allowed in declared_choices(TrainingConfig)
        for value in allowed
        if f"training.{name}" not in ALIASES
    ],
)
def test_upstream_takes_every_allowed_training_value(name: str, value: str) -> None:
    by_score = value in ("reduce_lr_on_plateau", "greedy")
    config = TrainingConfig(**{"eval_strategy": "epoch" if by_score else "no", name: value})
    args = arguments(config)
    assert getattr(args, name) == value


def test_the_closed_sets_of_training_are_upstreams() -> None:
    """Upstream refuses another value, or names exactly these as choices of its command line."""
    from transformers import Seq2SeqTrainingArguments

    named = {
        spec.name: tuple(spec.metadata["choices"])
        for spec in dataclasses.fields(Seq2SeqTrainingArguments)
        if "choices" in spec.metadata
    }
    for name, allowed in declared_choices(TrainingConfig):
        if name in named:
            assert allowed == named[name]
        elif name == "include_num_input_tokens_seen":
            assert set(allowed) == {"all", "non_padding", "no"}
        else:
            with pytest.raises(ValueError, match="bogus is not a valid"):
                Seq2SeqTrainingArguments(output_dir="run", **{name: "bogus"})


def test_the_closed_sets_of_generation_are_upstreams() -> None:
    from transformers import GenerationConfig

    choices = dict(declared_choices(GenerationOptions))
    assert set(choices) == {
        "cache_implementation",
        "num_assistant_tokens_schedule",
        "speculation_type",
    }
    for name, allowed in choices.items():
        for value in allowed:
            config = generation_config(GenerationConfig(), GenerationOptions(**{name: value}))
            assert getattr(config, name) == value
    with pytest.raises(ConfigError) as rejection:
        generation_config(GenerationConfig(), GenerationOptions(cache_implementation="bogus"))
    assert rejection.value.problems[0].key == "generation.cache_implementation"
    documented = " ".join((GenerationConfig.__doc__ or "").split())
    for value in choices["num_assistant_tokens_schedule"]:
        assert f'- `"{value}"`:' in documented
    assert "Accepted values are [`dflash`]" in documented


# --- every training field reaches upstream

TRAINING_VALUES: dict[str, Any] = MAPPINGS | {
    "optim_target_modules": ["q", "v"],
    "adam_beta1": 0.5,
    "adam_beta2": 0.5,
    "label_smoothing_factor": 0.5,
    "include_for_metrics": ["inputs"],
    "label_names": ["labels"],
    "debug": ["underflow_overflow"],
    "trackio_static_space_id": False,
    "fsdp": True,
    "lr_scheduler_type": "cosine",
    "optim": "adafactor",
    "logging_strategy": "epoch",
    "eval_strategy": "epoch",
    "save_strategy": "best",
    "hub_strategy": "end",
    "log_level": "info",
    "log_level_replica": "error",
    "include_num_input_tokens_seen": "all",
    "dataloader_multiprocessing_context": "spawn",
    "train_sampling_strategy": "sequential",
    "dataloader_prefetch_factor": 4,
    "tf32": False,
}
"""Values for the fields whose type does not say what they take."""

TRAINING_PARTNERS: dict[str, dict[str, Any]] = {
    "bf16": {"use_cpu": True},
    "bf16_full_eval": {"use_cpu": True},
    "dataloader_prefetch_factor": {"dataloader_num_workers": 1},
    "load_best_model_at_end": {"save_strategy": "no"},
    "fsdp_config": {"fsdp": True},
}
"""What must be set together with a field for upstream to take it."""

APART = {"output_dir", "seed", "report_to", "deepspeed", "ddp_backend"}
"""Fields that have a test of their own below."""


def other_value(hint: Any, default: Any) -> Any:
    """Return a value of the type `hint` that is not the default."""
    if bool in (hint, *getattr(hint, "__args__", ())):
        return not default
    if int in (hint, *getattr(hint, "__args__", ())):
        return (default or 1) + 1
    if float in (hint, *getattr(hint, "__args__", ())):
        return (default or 1.0) * 2
    assert str in (hint, *getattr(hint, "__args__", ()))
    return "other"


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "name", [spec.name for spec in dataclasses.fields(TrainingConfig) if spec.name not in APART]
)
def test_every_training_field_reaches_upstream(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "false")
    default = getattr(TrainingConfig(), name)
    if name in TRAINING_VALUES:
        value = TRAINING_VALUES[name]
    else:
        value = other_value(get_type_hints(TrainingConfig)[name], default)
    node = OmegaConf.merge(
        OmegaConf.structured(TrainingConfig), TRAINING_PARTNERS.get(name, {}) | {name: value}
    )
    config = OmegaConf.to_object(node)
    assert isinstance(config, TrainingConfig)
    assert changed_fields(config)[name] == value
    reached = getattr(arguments(config), name)
    if isinstance(value, dict):
        given = {key: getattr(reached, key, None) for key in value}
        assert (reached | value == reached) if isinstance(reached, dict) else given == value
    else:
        assert reached == value
    assert getattr(config, name) == value, "the config was modified"


def test_the_run_decides_output_dir_seed_and_trackers() -> None:
    args = training_arguments(
        TrainingConfig(output_dir="elsewhere", seed=1, report_to="all"),
        output_dir=Path("run"),
        seed=7,
        report_to=["tensorboard"],
        num_train_epochs=9.0,
    )
    assert (args.output_dir, args.seed, args.report_to) == ("run", 7, ["tensorboard"])
    assert args.num_train_epochs == 9.0
    assert arguments(TrainingConfig()).report_to == []


def test_only_changed_fields_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    monkeypatch.setattr(transformers, "Seq2SeqTrainingArguments", dict)
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert arguments(TrainingConfig(logging_steps=10, ddp_backend="gloo")) == {
        "output_dir": "run",
        "seed": 7,
        "report_to": [],
        "logging_steps": 10,
        "ddp_backend": "gloo",
    }


@pytest.mark.parametrize(
    ("options", "key", "word"),
    [
        ({"debug": "bogus"}, "training.debug", "underflow_overflow"),
        ({"debug": ["bogus"]}, "training.debug", "underflow_overflow"),
        ({"fsdp": "bogus"}, "training.fsdp", "bogus"),
        ({"accelerator_config": {"bogus": 1}}, "training.accelerator_config", "bogus"),
        ({"accelerator_config": "none.json"}, "training.accelerator_config", "No such file"),
        ({"parallelism_config": {"bogus": 1}}, "training.parallelism_config", "bogus"),
        ({"lr_scheduler_kwargs": "{bad"}, "training.lr_scheduler_kwargs", "double quotes"),
    ],
)
def test_what_upstream_rejects_is_reported_with_its_key(
    options: dict[str, Any], key: str, word: str
) -> None:
    with pytest.raises(ConfigError) as rejection:
        arguments(TrainingConfig(**options))
    (problem,) = rejection.value.problems
    assert problem.key == key
    assert word in problem.what
    assert "`" not in problem.what
    assert "--" not in problem.what


def test_deepspeed_reaches_upstream_or_is_reported_missing() -> None:
    config = TrainingConfig(deepspeed={"zero_optimization": {"stage": 2}})
    if importlib.util.find_spec("deepspeed"):
        assert arguments(config).deepspeed == config.deepspeed
        return
    with pytest.raises(ConfigError, match=r"training\.deepspeed: .*deepspeed"):
        arguments(config)


# --- the rules that need no transformers are upstream's


def rejected_by_us(schema: type, options: dict[str, Any]) -> set[str]:
    try:
        schema(**options)
    except ConfigError as error:
        return {str(problem.key).partition(".")[2] for problem in error.problems}
    return set()


def test_interval_rules_reject_exactly_what_upstream_rejects() -> None:
    from transformers import Seq2SeqTrainingArguments

    steps = (0, 0.1, 0.3, 1.5, 2, 3, 500)
    rejected = 0
    for evaluate, save, every, saved, logged, best in itertools.product(
        ("no", "steps", "epoch"), ("steps", "epoch", "best"), (None, *steps), steps[1:],
        (0, 0.1, 10), (True, False),
    ):  # fmt: skip
        options = {
            "eval_strategy": evaluate,
            "save_strategy": save,
            "eval_steps": every,
            "save_steps": saved,
            "logging_steps": logged,
            "load_best_model_at_end": best,
        }
        try:
            Seq2SeqTrainingArguments(output_dir="run", **options)
            theirs = None
        except ValueError as error:
            theirs = str(error)
            rejected += 1
        assert bool(rejected_by_us(TrainingConfig, options)) is bool(theirs), f"{options}: {theirs}"
    assert 500 < rejected < 2000


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"fp16": True, "bf16": True, "use_cpu": True}, {"fp16"}),
        ({"fp16_full_eval": True, "bf16_full_eval": True, "use_cpu": True}, {"fp16_full_eval"}),
        ({"lr_scheduler_type": "greedy"}, {"lr_scheduler_type"}),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, {"lr_scheduler_type"}),
        ({"warmup_steps": -1}, {"warmup_steps"}),
        ({"torch_empty_cache_steps": 0}, {"torch_empty_cache_steps"}),
        ({"dataloader_prefetch_factor": 2}, {"dataloader_prefetch_factor"}),
    ],
)
def test_a_training_rule_of_upstreams_is_ours_too(options: dict[str, Any], keys: set[str]) -> None:
    from transformers import Seq2SeqTrainingArguments

    assert rejected_by_us(TrainingConfig, options) == keys
    with pytest.raises(ValueError):  # noqa: PT011 - each rule has its own words
        Seq2SeqTrainingArguments(output_dir="run", **options)


def test_all_training_problems_are_reported_at_once() -> None:
    options = {"fp16": True, "bf16": True, "warmup_steps": -1, "per_device_eval_batch_size": 0}
    assert rejected_by_us(TrainingConfig, options) == {
        "fp16",
        "warmup_steps",
        "per_device_eval_batch_size",
    }


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"max_length": 9, "max_new_tokens": 8}, {"max_length"}),
        ({"min_length": 9, "min_new_tokens": 8}, {"min_length"}),
        ({"min_length": 9, "max_length": 8}, {"min_length"}),
        ({"early_stopping": "bogus"}, {"early_stopping"}),
        ({"num_beams": 0, "top_p": 1.5, "temperature": 0.0}, {"num_beams", "top_p", "temperature"}),
        ({"exponential_decay_length_penalty": [5.0]}, {"exponential_decay_length_penalty"}),
        ({"max_new_tokens": 1, "top_p": 1.0, "min_length": 0, "early_stopping": "never"}, set()),
    ],
)
def test_generation_rules(options: dict[str, Any], keys: set[str]) -> None:
    assert rejected_by_us(GenerationOptions, options) == keys


# --- every generation option reaches upstream

GENERATION_VALUES: dict[str, Any] = {
    "early_stopping": "never",
    "stop_strings": [".", "!"],
    "cache_implementation": "dynamic",
    "cache_config": {"nbits": 4},
    "top_p": 0.5,
    "min_p": 0.5,
    "top_h": 0.5,
    "typical_p": 0.5,
    "epsilon_cutoff": 0.5,
    "eta_cutoff": 0.5,
    "assistant_ensemble_weight": 0.5,
    "bad_words_ids": [[1, 2], [3]],
    "forced_eos_token_id": [1, 2],
    "exponential_decay_length_penalty": [5.0, 1.5],
    "suppress_tokens": [1],
    "begin_suppress_tokens": [1],
    "sequence_bias": [[[5, 7], -10.0]],
    "watermarking_config": {"bias": 2.5},
    "eos_token_id": [1, 2],
    "decoder_start_token_id": 3,
    "num_assistant_tokens_schedule": "heuristic",
    "speculation_type": "dflash",
    "compile_config": {"dynamic": True},
    "continuous_batching_config": {"page_size": 128},
    "dola_layers": "low",
    "constraints": ["x"],
    "force_words_ids": [[1]],
}

GENERATION_PARTNERS: dict[str, dict[str, Any]] = (
    {
        name: {"do_sample": True}
        for name in (
            "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p",
            "epsilon_cutoff", "eta_cutoff",
        )
    }
    | {name: {"num_beams": 2} for name in ("early_stopping", "length_penalty")}
    | {"num_return_sequences": {"num_beams": 4}}
    | {
        f"output_{name}": {"return_dict_in_generate": True}
        for name in ("attentions", "hidden_states", "scores", "logits")
    }
    | {"max_cache_len": {"cache_implementation": "static"}}
)  # fmt: skip


@pytest.mark.parametrize("name", [spec.name for spec in dataclasses.fields(GenerationOptions)])
def test_every_generation_option_reaches_upstream(name: str) -> None:
    from transformers import GenerationConfig

    value = GENERATION_VALUES.get(name)
    if value is None:
        value = other_value(get_type_hints(GenerationOptions)[name], None)
    node = OmegaConf.merge(
        OmegaConf.structured(GenerationOptions), GENERATION_PARTNERS.get(name, {}) | {name: value}
    )
    options = OmegaConf.to_object(node)
    assert isinstance(options, GenerationOptions)
    config = generation_config(GenerationConfig(), options)
    if name in ("max_new_tokens", "min_new_tokens"):
        assert getattr(config, name) is None
        assert getattr(config, name.replace("new_tokens", "length")) == value + 1
    elif name in ("watermarking_config", "compile_config"):
        assert value.items() <= getattr(config, name).to_dict().items()
    elif name == "exponential_decay_length_penalty":
        assert config.exponential_decay_length_penalty == (5, 1.5)
    else:
        assert getattr(config, name) == value


def bart_like() -> Any:
    """Return a generation config such as the published summarization models bring."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_length=142, min_length=56, num_beams=4, early_stopping=True, length_penalty=2.0,
        no_repeat_ngram_size=3, decoder_start_token_id=0, eos_token_id=49, pad_token_id=0,
    )  # fmt: skip


def test_options_that_are_not_set_are_the_models_own() -> None:
    model = bart_like()
    config = generation_config(model, GenerationOptions())
    assert config == model
    assert config is not model


def test_the_users_choice_drops_what_it_puts_out_of_use(tmp_path: Path) -> None:
    model = bart_like()
    config = generation_config(model, GenerationOptions(num_beams=1, max_new_tokens=30))
    assert (config.num_beams, config.early_stopping, config.length_penalty) == (1, None, None)
    assert (config.max_length, config.min_length, config.no_repeat_ngram_size) == (31, None, 3)
    assert (model.num_beams, model.early_stopping, model.max_length) == (4, True, 142)
    config.save_pretrained(tmp_path)


def test_a_length_of_the_users_replaces_either_kind_of_the_models() -> None:
    from transformers import GenerationConfig

    counted_in_new = GenerationConfig(max_new_tokens=256, min_new_tokens=10)
    config = generation_config(counted_in_new, GenerationOptions(max_length=100))
    assert (config.max_length, config.max_new_tokens) == (100, None)
    assert (config.min_length, config.min_new_tokens) == (11, None)
    assert generation_config(counted_in_new, GenerationOptions()).max_length == 257


def test_the_fallback_length_yields_to_the_options_only() -> None:
    def longest(**options: Any) -> int | None:
        config = generation_config(bart_like(), GenerationOptions(**options), max_length=64)
        return config.max_length

    assert longest() == 64
    assert longest(max_length=80) == 80
    assert longest(max_new_tokens=80) == 81


def test_lengths_of_a_decoder_only_model_are_those_of_its_summaries(tmp_path: Path) -> None:
    def lengths(limit: int = 64, **options: Any) -> tuple[int | None, int | None]:
        config = generation_config(
            bart_like(), GenerationOptions(**options), max_length=limit, decoder_only=True
        )
        assert (config.max_length, config.min_length) == (None, None)
        config.save_pretrained(tmp_path)
        return config.max_new_tokens, config.min_new_tokens

    # Its own 56 to 142 tokens would be those of its prompt too.
    assert lengths() == (64, None)
    assert lengths(max_length=80, min_length=7) == (80, 7)
    assert lengths(max_new_tokens=30, min_new_tokens=3) == (30, 3)
    with pytest.raises(ConfigError, match="min_new_tokens: is above the maximum length"):
        lengths(min_new_tokens=70)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"temperature": 0.5, "top_p": 0.3}, ["temperature", "top_p"]),
        ({"num_beams": 1, "early_stopping": True}, ["early_stopping"]),
        ({"num_return_sequences": 5}, ["num_return_sequences"]),
        ({"min_length": 200}, ["min_length"]),
        ({"output_scores": True}, ["output_scores"]),
        ({"watermarking_config": {"bogus": 1}}, ["watermarking_config"]),
        ({"watermarking_config": {"seeding_scheme": "bogus"}}, ["watermarking_config"]),
        ({"compile_config": {"bogus": 1}}, ["compile_config"]),
        ({"suppress_tokens": [3], "forced_bos_token_id": 3}, ["forced_bos_token_id"]),
    ],
)
def test_generation_mistakes_name_their_keys(options: dict[str, Any], keys: list[str]) -> None:
    with pytest.raises(ConfigError) as rejection:
        generation_config(bart_like(), GenerationOptions(**options))
    assert [problem.key for problem in rejection.value.problems] == [
        f"generation.{k}" for k in keys
    ]


@pytest.fixture
def warnings_of_transformers() -> Iterator[list[str]]:
    messages: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    logger, listener = logging.getLogger("transformers"), Listener(level=logging.WARNING)
    logger.addHandler(listener)
    yield messages
    logger.removeHandler(listener)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "options",
    [
        {"max_new_tokens": 6, "min_new_tokens": 6},
        {"max_length": 7, "min_length": 7, "num_beams": 1},
        {"max_length": 7, "min_length": 7, "do_sample": True, "num_beams": 1, "temperature": 0.7},
        {"max_new_tokens": 6, "min_length": 7, "num_beams": 2, "num_return_sequences": 1},
    ],
)
def test_generating_twice_logs_nothing_and_keeps_to_the_length(
    options: dict[str, Any], warnings_of_transformers: list[str]
) -> None:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=50, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2,
            decoder_start_token_id=0, eos_token_id=49,
        )
    )  # fmt: skip
    model.generation_config = generation_config(bart_like(), GenerationOptions(**options))
    source = torch.ones(2, 4, dtype=torch.long)
    for _ in range(2):
        assert model.generate(source).shape[1] == 7
        # What Seq2SeqTrainer.prediction_step does after each batch.
        defaults = model.generation_config._get_default_generation_params()
        model.generation_config.update(**defaults, defaults_only=True)
    assert warnings_of_transformers == []
