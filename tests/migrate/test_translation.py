"""Choices, values that differ from their files, and parity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.migrate.composed import SCRIPT, composed, migrated, translated, value_of, values_of

from summexp.errors import ConfigError

PARITY_OLD = (
    "python run_summarization.py --model_name_or_path m/t5 --train_file a.csv --do_train "
    "--validation_file b.csv --do_eval --predict_with_generate --output_dir out "
)
NO_PUNKT = "metric.sentences=sentencex"


def test_a_checkpoint_is_not_deleted_with_its_folder() -> None:
    Path("out/checkpoint-5").mkdir(parents=True)
    words = "--overwrite_output_dir --resume_from_checkpoint out/checkpoint-5"
    found = translated(f"python {SCRIPT} {words}")
    assert found.settings["training.resume_from_checkpoint"] == "out/checkpoint-5"
    assert "overwrite_output_dir" not in found.settings
    assert any("would delete the checkpoint" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        ("--dataset_name xsum", {"data.max_target_length": 128}),
        ("--dataset_name xsum --max_target_length 64", {"data.max_target_length": 64}),
        ("--dataset_name big_patent", {"data.config_name": "all"}),
        ("--dataset_name big_patent --dataset_config_name a", {"data.config_name": "a"}),
        ("--dataset_name Samsung/samsum", {"data.name": "knkarthick/samsum"}),
        ("--dataset_name me/mine", {"data.name": "me/mine", "data.max_source_length": 1024}),
        ("--model_name_or_path facebook/bart-base", {"model.source_prefix": None}),
        (
            "--model_name_or_path facebook/mbart-large-50 --lang ko_KR --forced_bos_token ko_KR",
            {"model.lang": "ko_KR", "model.forced_bos_token": "ko_KR"},
        ),
        (
            "--model_name_or_path facebook/mbart-large-50 --lang ko_KR",
            {"model.lang": "ko_KR", "model.forced_bos_token": None},
        ),
        ("--model_name_or_path google/pegasus-xsum", {"model.resize_position_embeddings": True}),
        (
            "--model_name_or_path google/pegasus-xsum --resize_position_embeddings false",
            {"model.resize_position_embeddings": False},
        ),
        (
            "--model_name_or_path my/model",
            {
                "model.name_or_path": "my/model",
                "model.architecture": {},
                "training.max_steps": -1,
                "training.learning_rate": 5e-05,
                "training.per_device_train_batch_size": 8,
            },
        ),
        ("--source_prefix 'TL;DR: '", {"model.source_prefix": "TL;DR: "}),
    ],
)
def test_a_value_that_differs_in_a_file_is_set(flags: str, values: dict[str, Any]) -> None:
    base = "python run_summarization.py --do_train --do_eval"
    for name, value in {"model_name_or_path": "t5-small", "dataset_name": "samsum"}.items():
        base += "" if name in flags else f" --{name} {value}"
    assert values_of(translated(f"{base} {flags}"), values) == values


def test_a_file_that_repeats_the_language_is_recognized() -> None:
    base = "python run_summarization.py --model_name_or_path facebook/mbart-large-50 --do_train "
    found = translated(f"{base} --dataset_name xsum --lang ko_KR")
    assert {"model.lang=ko_KR", "model.forced_bos_token=null"} <= set(found.words())
    assert (
        "--forced_bos_token: not given, so removed; the file of model= has that of model.lang"
    ) in found.remarks
    assert "en_XX" not in " ".join(found.remarks)
    both = translated(f"{base} --dataset_name xsum --lang ko_KR --forced_bos_token ko_KR")
    assert not any("forced_bos_token" in remark for remark in both.remarks)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize(
    ("flags", "plain", "same", "remark"),
    [
        ("--generation_num_beams 4", 4, 1, "--num_beams, whose default is 1"),
        ("--num_beams 2 --generation_num_beams 4", 2, 2, "had no effect"),
        ("--generation_num_beams 4 --num_beams 2", 2, 2, "had no effect"),
        ("--num_beams 4 --generation_num_beams 4", 4, 4, ""),
        ("--num_beams 3", 3, 3, ""),
    ],
)
def test_beams_are_those_of_num_beams(
    flags: str, plain: int, same: int, remark: str, parity: bool
) -> None:
    found = translated(f"{PARITY_OLD} {flags}", parity=parity)
    assert value_of(found, "generation.num_beams") == (same if parity else plain)
    reported = [one for one in found.remarks if one.startswith("--generation_num_beams")]
    assert len(reported) == bool(remark)
    assert all(remark in one for one in reported)
    if reported:
        assert ("takes effect now" in reported[0]) == (not parity and plain == 4)


def test_parity_keeps_values_that_are_defaults_here() -> None:
    found = migrated(f"{PARITY_OLD} --eval_strategy epoch --save_total_limit 2", parity=True)
    assert "experiment=hf_parity" in found.words
    assert {"training.eval_strategy=epoch", "training.save_total_limit=2"} <= set(found.words)
    assert not any("differs from the old script" in remark for remark in found.remarks)
    config = composed(f"{migrated(PARITY_OLD, parity=True).line} {NO_PUNKT}")
    training = config.training
    assert (training.eval_strategy, training.save_strategy) == ("no", "steps")
    assert (training.save_total_limit, training.logging_steps) == (None, 500)
    assert (config.generation.num_beams, config.data.val_max_target_length) == (1, 128)
    longer = migrated(f"{PARITY_OLD} --max_target_length 60", parity=True)
    assert composed(f"{longer.line} {NO_PUNKT}").data.val_max_target_length == 60


def test_parity_groups_by_length_as_upstream_did() -> None:
    found = migrated(f"{PARITY_OLD} --group_by_length --seed 7", parity=True)
    config = composed(f"{found.line} {NO_PUNKT}")
    assert config.engine.sampler == "upstream"
    assert config.training.train_sampling_strategy == "group_by_length"
    assert not any("group_by_length" in remark for remark in found.remarks)


def test_parity_reports_where_the_numbers_differ() -> None:
    several = translated(f"torchrun --nproc_per_node 2 {PARITY_OLD[7:]}", parity=True)
    assert any("one process" in remark for remark in several.remarks)
    with pytest.raises(ConfigError, match=r"--parity is for run_summarization\.py, not for"):
        migrated("python run_summarization_no_trainer.py --dataset_name xsum", parity=True)
