"""The table of the old scripts' flags: whole, true to the schema, and true in the new command."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.composed import composed, migrated, translated, value_at, value_of

from summexp.config.aliases import ALIASES
from summexp.config.compose import conf_dir
from summexp.config.keys import allowed_values, declared, declared_fields
from summexp.engines.generated.training_config import TrainingConfig
from summexp.migrate.flag_parser import given_flags
from summexp.migrate.flags import Flag, Kind, Script
from summexp.migrate.removed_flags import REMOVED_FLAGS
from summexp.migrate.script_flags import (
    DATA_FLAGS,
    FLAGS,
    MODEL_FLAGS,
    NO_TRAINER_FLAGS,
    TENSORFLOW_FLAGS,
)
from summexp.migrate.training_flags import TRAINING_FLAGS

ROOT = Path(__file__).resolve().parents[2]
BASE = {
    Script.TRAINER: "python run_summarization.py --model_name_or_path m --dataset_name d "
    "--do_train",
    Script.NO_TRAINER: "python run_summarization_no_trainer.py --model_name_or_path m "
    "--dataset_name d",
    Script.TENSORFLOW: "python examples/tensorflow/run_summarization.py --model_name_or_path m "
    "--dataset_name d --do_train",
}
SAMPLES = {Kind.TEXT: "abc", Kind.INT: "7", Kind.FLOAT: "0.25", Kind.LIST: "a b"}
VALUES: dict[str, str] = {
    "lr_scheduler_type": "cosine",
    "optim": "adafactor",
    "eval_strategy": "steps",
    "evaluation_strategy": "epoch",
    "metric_for_best_model": "loss",
    "logging_steps": "25",
    "eval_steps": "25",
    "save_steps": "25",
    "max_steps": "25",
    "output_dir": "out",
    "summary_column": "short",
    "lang": "ko_KR",
    "model_type": "t5",
}
"""What to give a flag that does not take just any value of its kind."""
COMPANIONS = {
    "load_best_model_at_end": "--evaluation_strategy epoch --do_eval",
    "metric_for_best_model": "--do_eval",
    "dataloader_prefetch_factor": "--dataloader_num_workers 2",
    "evaluation_strategy": "--do_eval",
    "push_to_hub": "--hub_model_id me/mine",
}
EXCLUSIVE = {*COMPANIONS}

# Script, words, and what they say: every flag that is not simply its key.
OTHERWISE: list[tuple[Script, str, dict[str, Any]]] = [
    (Script.TRAINER, "--model_name_or_path t5-small", {"model.name_or_path": "google-t5/t5-small"}),
    (Script.TRAINER, "--model_revision main", {"model.revision": None}),
    (Script.TRAINER, "--model_revision v1", {"model.revision": "v1"}),
    (Script.TRAINER, "--no_use_fast_tokenizer", {"model.use_fast_tokenizer": False}),
    (Script.TRAINER, "--no-use-fast-tokenizer", {"model.use_fast_tokenizer": False}),
    (Script.TRAINER, "--use_fast_tokenizer False", {"model.use_fast_tokenizer": False}),
    (Script.TRAINER, "--dataset_name xsum", {"data.name": "EdinburghNLP/xsum"}),
    (Script.TRAINER, "--dataset_name xsum", {"data.max_target_length": 128}),
    (Script.TRAINER, "--max_val_samples 5", {"data.max_eval_samples": 5}),
    (Script.TRAINER, "--evaluate_during_training", {"training.eval_strategy": "steps"}),
    (Script.TRAINER, "--sharded_ddp simple", {"training.fsdp": True}),
    (
        Script.TRAINER,
        "--dispatch_batches false",
        {"training.accelerator_config": {"dispatch_batches": False}},
    ),
    (Script.TRAINER, "--split_batches", {"training.accelerator_config": {"split_batches": True}}),
    (Script.TRAINER, "--token abcdef", {}),
    (Script.TRAINER, "--use_auth_token", {}),
    (Script.TRAINER, "--hub_token abcdef", {"training.hub_token": None}),
    (Script.TRAINER, "--push_to_hub_token abcdef", {"training.hub_token": None}),
    (Script.TRAINER, "--seed 7", {"seed": 7, "training.seed": 42}),
    (Script.TRAINER, "--report_to none", {"tracking.trackers": []}),
    (Script.TRAINER, "--report_to wandb", {"tracking.trackers": ["wandb"]}),
    (
        Script.TRAINER,
        "--report_to wandb tensorboard",
        {"tracking.trackers": ["wandb", "tensorboard"]},
    ),
    (Script.TRAINER, "--report_to all", {"tracking.trackers": ["tensorboard", "wandb"]}),
    (Script.TRAINER, "--report_to comet_ml", {"tracking.trackers": []}),
    (Script.TRAINER, "--use_cpu", {"hardware.backend": "cpu", "training.use_cpu": False}),
    (Script.TRAINER, "--no_cuda", {"hardware.backend": "cpu"}),
    (Script.TRAINER, "--no_cuda false", {"hardware.backend": "auto"}),
    (Script.TRAINER, "--use_mps_device", {"hardware.backend": "mps"}),
    (Script.TRAINER, "--ddp_timeout 7200", {"hardware.timeout_minutes": 120.0}),
    (Script.TRAINER, "--ddp_backend nccl", {"training.ddp_backend": None}),
    (Script.TRAINER, "--local_rank 0", {"training.local_rank": -1}),
    (Script.TRAINER, "--disable_tqdm true", {"training.disable_tqdm": None}),
    (Script.TRAINER, "--trackio_space_id me/space", {"training.trackio_space_id": None}),
    (Script.TRAINER, "--trackio_bucket_id me/bucket", {"training.trackio_bucket_id": None}),
    (Script.TRAINER, "--trackio_static_space_id x", {"training.trackio_static_space_id": None}),
    (Script.TRAINER, "--length_column_name len", {"training.length_column_name": "length"}),
    (
        Script.TRAINER,
        "--train_sampling_strategy group_by_length",
        {"engine.sampler": "length_grouped", "training.train_sampling_strategy": "random"},
    ),
    (
        Script.TRAINER,
        "--train_sampling_strategy sequential",
        {"engine.sampler": "upstream", "training.train_sampling_strategy": "sequential"},
    ),
    (Script.TRAINER, "--group_by_length", {"engine.sampler": "length_grouped"}),
    (Script.TRAINER, "--optim adamw_hf", {"training.optim": "adamw_torch"}),
    (Script.TRAINER, "--adafactor", {"training.optim": "adafactor"}),
    (Script.TRAINER, "--optim_target_modules q", {"training.optim_target_modules": "q"}),
    (Script.TRAINER, "--optim_target_modules q k", {"training.optim_target_modules": ["q", "k"]}),
    (Script.TRAINER, "--debug underflow_overflow", {"training.debug": "underflow_overflow"}),
    (Script.TRAINER, "--tpu_metrics_debug", {"training.debug": "tpu_metrics_debug"}),
    (Script.TRAINER, "--tpu_num_cores 8", {"hardware.backend": "xla"}),
    (
        Script.TRAINER,
        "--include_num_input_tokens_seen",
        {"training.include_num_input_tokens_seen": "all"},
    ),
    (
        Script.TRAINER,
        "--include_num_input_tokens_seen non_padding",
        {"training.include_num_input_tokens_seen": "non_padding"},
    ),
    (
        Script.TRAINER,
        "--include_tokens_per_second",
        {"training.include_num_input_tokens_seen": "all"},
    ),
    (Script.TRAINER, "--fsdp", {"training.fsdp": True}),
    (Script.TRAINER, "--fsdp ''", {"training.fsdp": None}),
    (Script.TRAINER, "--fsdp 'full_shard auto_wrap'", {"training.fsdp": "full_shard auto_wrap"}),
    (
        Script.TRAINER,
        "--fsdp_min_num_params 9 --fsdp_transformer_layer_cls_to_wrap T5Block",
        {
            "training.fsdp_config": {
                "min_num_params": 9,
                "transformer_layer_cls_to_wrap": ["T5Block"],
            }
        },
    ),
    (Script.TRAINER, "--resume_from_checkpoint True", {"training.resume_from_checkpoint": None}),
    (Script.TRAINER, "--resume_from_checkpoint c", {"training.resume_from_checkpoint": "c"}),
    (Script.TRAINER, "--generation_num_beams 4", {"generation.num_beams": 4}),
    (Script.TRAINER, "--generation_max_length 60", {"generation.max_length": 60}),
    (Script.TRAINER, "--warmup_ratio 0.1", {"training.warmup_steps": 0.1}),
    (Script.TRAINER, "--warmup_ratio 0", {"training.warmup_steps": 0}),
    (Script.TRAINER, "--torchdynamo inductor", {"training.torch_compile_backend": "inductor"}),
    (Script.TRAINER, "--push_to_hub_model_id a/b", {"training.hub_model_id": "a/b"}),
    (
        Script.TRAINER,
        "--push_to_hub_organization org --output_dir runs/mine",
        {"training.hub_model_id": "org/mine"},
    ),
    (Script.TRAINER, "--overwrite_output_dir", {"overwrite_output_dir": True}),
    (Script.TRAINER, "--overwrite_output_dir false", {"overwrite_output_dir": False}),
    (
        Script.TRAINER,
        "--per_gpu_train_batch_size 3 --per_gpu_eval_batch_size 5",
        {
            "training.per_device_train_batch_size": 3,
            "training.per_device_eval_batch_size": 5,
        },
    ),
    (
        Script.TRAINER,
        "--lr_scheduler_kwargs '{\"num_cycles\": 2}'",
        {"training.lr_scheduler_kwargs": {"num_cycles": 2}},
    ),
    (
        Script.TRAINER,
        '--accelerator_config \'{"split_batches": true, "a b": [1, null, "x, y"]}\'',
        {"training.accelerator_config": {"split_batches": True, "a b": [1, None, "x, y"]}},
    ),
    (Script.TRAINER, "--deepspeed ds.json", {"training.deepspeed": "ds.json"}),
    (Script.TRAINER, "--save_steps 50", {"training.save_strategy": "steps"}),
    (
        Script.TRAINER,
        "--eval_strategy steps --eval_steps 50 --load_best_model_at_end --save_steps 100",
        {"training.do_eval": True, "training.save_strategy": "steps", "training.eval_steps": 50.0},
    ),
    (
        Script.TRAINER,
        "",
        {
            "training.do_train": True,
            "training.do_eval": False,
            "training.do_predict": False,
            "training.predict_with_generate": False,
            "training.eval_strategy": "epoch",
        },
    ),
    (Script.TENSORFLOW, "", {"engine.name": "trainer", "training.predict_with_generate": True}),
    (Script.TENSORFLOW, "--tpu name", {"hardware.backend": "xla"}),
    (Script.TENSORFLOW, "--tpu", {"hardware.backend": "xla"}),
    (Script.TENSORFLOW, "--tpu_name name --tpu_zone z", {"hardware.backend": "xla"}),
    (Script.TENSORFLOW, "--gcp_project p", {"hardware.backend": "auto"}),
    (Script.TENSORFLOW, "--xla", {"training.torch_compile": True}),
    (Script.TENSORFLOW, "--poly_power 1", {"training.lr_scheduler_type": "linear"}),
    (
        Script.TENSORFLOW,
        "--poly_power 2",
        {
            "training.lr_scheduler_type": "polynomial",
            "training.lr_scheduler_kwargs": {"power": 2, "lr_end": 0},
        },
    ),
    (
        Script.NO_TRAINER,
        "",
        {
            "engine.name": "accelerate",
            "training.do_train": True,
            "training.do_eval": True,
            "training.predict_with_generate": True,
            "training.eval_strategy": "epoch",
            "generation.num_beams": None,
        },
    ),
    (Script.NO_TRAINER, "--use_slow_tokenizer", {"model.use_fast_tokenizer": False}),
    (Script.NO_TRAINER, "--overwrite_cache", {"data.overwrite_cache": True}),
    (Script.NO_TRAINER, "--pad_to_max_length", {"data.pad_to_max_length": True}),
    (Script.NO_TRAINER, "--trust_remote_code", {"model.trust_remote_code": True}),
    (
        Script.NO_TRAINER,
        "--ignore_pad_token_for_loss False",
        {"data.ignore_pad_token_for_loss": True},
    ),
    (Script.NO_TRAINER, "--hub_token abcdef", {"training.hub_token": None}),
    (
        Script.NO_TRAINER,
        "--push_to_hub --hub_model_id a/b",
        {"training.push_to_hub": True, "training.hub_strategy": "end"},
    ),
    (
        Script.NO_TRAINER,
        "--checkpointing_steps 50",
        {
            "training.save_strategy": "steps",
            "training.save_steps": 50.0,
            "training.save_total_limit": None,
        },
    ),
    (
        Script.NO_TRAINER,
        "--checkpointing_steps epoch",
        {"training.save_strategy": "epoch", "training.save_total_limit": None},
    ),
    (Script.NO_TRAINER, "--report_to wandb", {"tracking.trackers": []}),
    (Script.NO_TRAINER, "--with_tracking --report_to wandb", {"tracking.trackers": ["wandb"]}),
    (Script.NO_TRAINER, "--with_tracking", {"tracking.trackers": ["tensorboard", "wandb"]}),
    (Script.NO_TRAINER, "--model_type bart", {"model.init": "pretrained"}),
    (Script.NO_TRAINER, "--max_train_steps 9", {"training.max_steps": 9}),
    (Script.NO_TRAINER, "--num_warmup_steps 9", {"training.warmup_steps": 9}),
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c").mkdir()
    Path("abc").mkdir()


def every_flag() -> Iterator[tuple[Script, Flag]]:
    for script, flags in FLAGS.items():
        yield from ((script, flag) for flag in flags.values())


def test_the_table_is_whole() -> None:
    sizes = [MODEL_FLAGS, DATA_FLAGS, TRAINING_FLAGS, NO_TRAINER_FLAGS]
    assert [len(flags) for flags in sizes] == [9, 21, 119, 39]
    assert [flag.name for flag in TRAINING_FLAGS] == [spec.name for spec in fields(TrainingConfig)]
    # Those of transformers 4, the older evaluation_strategy, and the scripts' use_auth_token.
    assert len(REMOVED_FLAGS) == 30 + 2
    assert {flag.name for flag in REMOVED_FLAGS}.isdisjoint(spec.name for spec in TRAINING_FLAGS)
    tensorflow = FLAGS[Script.TENSORFLOW]
    assert len([flag for flag in MODEL_FLAGS if flag.name in tensorflow]) == 8
    assert len([flag for flag in DATA_FLAGS if flag.name in tensorflow]) == 19
    assert {flag.name for flag in TENSORFLOW_FLAGS} == {
        *("tpu", "tpu_name", "tpu_zone", "gcp_project", "poly_power", "xla")
    }
    page = (ROOT / "docs" / "coming-from-the-scripts.md").read_text(encoding="utf-8")
    assert {flag.name for _, flag in every_flag()} == set(re.findall(r"^\| `--(\w+)`", page, re.M))


def test_upstreams_types_and_defaults_are_the_schemas() -> None:
    kinds = {"bool": Kind.BOOL, "float": Kind.FLOAT, "int": Kind.INT}
    for spec in fields(TrainingConfig):
        declared_type = str(declared_fields()[f"training.{spec.name}"].type)
        kind = kinds.get(declared_type.removesuffix(" | None"))
        assert kind in (None, FLAGS[Script.TRAINER][spec.name].kind), spec.name


def test_values_are_read_as_upstream_reads_them() -> None:
    from transformers import HfArgumentParser, Seq2SeqTrainingArguments

    kinds = (Kind.BOOL, Kind.FLOAT, Kind.INT, Kind.TEXT)
    flags = {flag.name: flag for flag in TRAINING_FLAGS if flag.kind in kinds}
    words = ["--model_name_or_path=m"]
    for flag in flags.values():
        allowed = allowed_values().get(f"training.{flag.name}", ["abc"])
        text = {Kind.BOOL: "no", Kind.FLOAT: "2.5e-1", Kind.INT: "12"}.get(flag.kind, allowed[0])
        words += [f"--{flag.name.replace('_', '-')}", text]
    # What is None by default needs a value there.
    switches = [flag for flag in flags.values() if flag.kind is Kind.BOOL]
    bare = [f"--{flag.name}" for flag in switches if flag.default is not None]
    parser = HfArgumentParser([Seq2SeqTrainingArguments])
    for line in (words, [words[0], *bare]):
        theirs = vars(parser.parse_known_args(line)[0])
        for name, ours in given_flags(Script.TRAINER, line).items():
            if name in flags:
                value = str(theirs[name]) if isinstance(theirs[name], Path) else theirs[name]
                assert (ours, type(ours)) == (value, type(value)), name


def test_every_key_exists_and_every_nothing_has_a_reason() -> None:
    for _, flag in every_flag():
        if not flag.now:
            assert flag.remark, flag.name
            continue
        for word in flag.now.replace(",", " ").split():
            key, _, value = word.partition("=")
            if key.startswith(("{", "…", "min_num", "transformer_layer", "power")) or "}" in word:
                continue
            group = conf_dir() / key
            if group.is_dir():
                assert (group / f"{value}.yaml").is_file(), word
            elif key != "generation.*":
                assert declared(key) is not None, word
                assert key not in ALIASES, word


def plain_flags(script: Script) -> list[Flag]:
    """Return the flags whose value simply is the value of their key."""
    return [
        flag
        for flag in FLAGS[script].values()
        if flag.turn is None
        and declared(flag.now) == flag.now
        and flag.kind is not Kind.SWITCH
        and flag.kind is not Kind.TRUTHY
        and flag.name
        not in (
            "model_name_or_path",
            "dataset_name",
            "train_file",
            "validation_file",
            "test_file",
            "do_train",
        )
        and (script is not Script.TENSORFLOW or flag in TENSORFLOW_FLAGS)
    ]


def sample(flag: Flag) -> tuple[str, Any]:
    """Return a value for a flag, as written and as it has to arrive; never the default."""
    allowed = allowed_values().get(flag.now)
    text = VALUES.get(flag.name) or SAMPLES.get(flag.kind, "")
    if flag.kind is Kind.BOOL:
        text = "false" if declared_fields()[flag.now].default is True else "true"
        return text, text == "true"
    if flag.kind is Kind.JSON:
        return shlex.quote(json.dumps({"a": [1, True]})), {"a": [1, True]}
    if flag.kind is Kind.LIST:
        return text, text.split()
    if allowed and text not in allowed:
        text = next(one for one in allowed if one != declared_fields()[flag.now].default)
    return text, {Kind.INT: int, Kind.FLOAT: float}.get(flag.kind, str)(text)


def words_of(flag: Flag) -> str:
    return f"--{flag.name} {sample(flag)[0]} {COMPANIONS.get(flag.name, '')}"


@pytest.mark.parametrize("script", list(Script))
def test_value_arrives_at_its_key(script: Script) -> None:
    for flag in plain_flags(script):
        found = translated(f"{BASE[script]} {words_of(flag)}")
        value = value_of(found, flag.now)
        assert (value, type(value)) == (sample(flag)[1], type(value)), flag.name


@pytest.mark.parametrize("script", list(Script))
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_schema_takes_all_values_at_once(script: Script, precision: str) -> None:
    # The two precisions exclude each other, and so do a few flags with what others go with.
    left_out = EXCLUSIVE | ({"fp16", "fp16_full_eval"} if precision == "bf16" else {"bf16"})
    flags = [flag for flag in plain_flags(script) if flag.name not in left_out]
    if precision == "fp16":
        flags = [flag for flag in flags if flag.name in {"fp16", "fp16_full_eval", *EXCLUSIVE}]
    config = composed(migrated(" ".join([BASE[script], *map(words_of, flags)])).line)
    arrived = {flag.now: value_at(config, flag.now) for flag in flags}
    assert arrived == {flag.now: sample(flag)[1] for flag in flags}


@pytest.mark.parametrize(("script", "words", "values"), OTHERWISE)
def test_flag_sets_these_values(script: Script, words: str, values: dict[str, Any]) -> None:
    found = translated(f"{BASE[script]} {words}")
    assert "abcdef" not in " ".join(found.words())
    assert {key: value_of(found, key) for key in values} == values


@pytest.mark.parametrize("script", list(Script))
def test_the_schema_takes_the_other_values_too(script: Script) -> None:
    """Compose as many of the flags at once as set different keys."""
    lines, taken, expected = [], set(), {}
    for other, words, values in OTHERWISE:
        names = set(re.findall(r"--(\w+)", words.replace("-", "_").replace("__", "--")))
        keys = {key for key in values if not key.startswith("hardware.")}
        if other is script and words and keys and not names & taken and not keys & set(expected):
            lines.append(words)
            taken |= names
            expected |= {key: values[key] for key in keys}
    config = composed(migrated(" ".join([BASE[script], *lines])).line)
    assert {key: value_at(config, key) for key in expected} == expected


def test_every_flag_is_tried() -> None:
    plain = {(script, flag.name) for script in Script for flag in plain_flags(script)}
    written = {
        (script, word.lstrip("-").replace("-", "_"))
        for script, words, _ in OTHERWISE
        for word in words.split()
        if word.startswith("--")
    }
    # Without a key, and with the reason in the table; and what every command here has.
    nothing = {(script, flag.name) for script, flag in every_flag() if not flag.now}
    others = {"train_file", "validation_file", "test_file", "generation_config", "config_name"}
    others |= {"do_train", "model_name_or_path", "dataset_name", "resume_from_checkpoint"}
    missing = [
        flag.name
        for script, flag in every_flag()
        if (script, flag.name) not in plain | written | nothing
        and flag.name not in others
        and not (script is Script.TENSORFLOW and flag not in TENSORFLOW_FLAGS)
    ]
    assert missing == []


@pytest.mark.parametrize("script", list(Script))
def test_flags_without_a_key_are_reported_and_change_nothing(script: Script) -> None:
    bare = translated(BASE[script])
    for flag in FLAGS[script].values():
        if flag.now or (script is Script.TENSORFLOW and flag not in TENSORFLOW_FLAGS):
            continue
        is_on = "true" if flag.default is not True else "false"
        value = {Kind.BOOL: is_on, Kind.SWITCH: "", **SAMPLES}.get(flag.kind, "x")
        found = translated(f"{BASE[script]} --{flag.name} {value}")
        assert found.words() == bare.words(), flag.name
        reported = [remark for remark in found.remarks if remark.startswith(f"--{flag.name}: ")]
        assert reported == [f"--{flag.name}: {flag.remark}"]


def test_files_of_data() -> None:
    command = (
        "python run_summarization.py --model_name_or_path m --do_train --do_eval --do_predict "
        "--train_file a.csv.gz --validation_file b.jsonl --test_file c.parquet"
    )
    line = migrated(command).line
    assert line.startswith("python train.py model=custom data=custom_csv ")
    config = composed(line)
    files = (config.data.train_file, config.data.validation_file, config.data.test_file)
    assert files == ("a.csv.gz", "b.jsonl", "c.parquet")
    assert config.training.do_predict
    for ending, choice in {"json": "custom_json", "parquet": "custom_parquet"}.items():
        found = translated(command.replace("a.csv.gz", f"a.{ending}"))
        assert found.choices["data"] == choice


def test_model_from_scratch() -> None:
    command = "accelerate launch run_summarization_no_trainer.py --dataset_name xsum"
    config = composed(
        migrated(f"{command} --model_type bart --tokenizer_name facebook/bart-base").line
    )
    assert config.model.init == "random"
    assert config.model.architecture == {"model_type": "bart"}
    assert config.model.tokenizer_name == "facebook/bart-base"
    config = composed(migrated(f"{command} --config_name facebook/bart-base").line)
    assert (config.model.init, config.model.config_name) == ("random", "facebook/bart-base")
