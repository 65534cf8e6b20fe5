from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.metrics.evaluate_modules import write_metric

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.config.typed import typed_config
from summexp.distributed.config import HardwareConfig
from summexp.errors import ConfigError
from summexp.launch.hydra_jobs import CheckedJob
from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.checkpoints import write_manifest
from summexp.runs.resume import (
    RunPlan,
    evaluation_digest,
    flat,
    plan_run,
    prediction_digest,
    training_length,
)


@cache
def chosen(*words: str) -> CheckedJob:
    return check(parse(list(words)))[0]


def composed(*words: str) -> Config:
    """The config of a command line; its choices are composed once for all that name the same."""
    choices = [word for word in words if "." not in word.partition("=")[0]]
    keys = [word for word in words if word not in choices]
    return typed_config(OmegaConf.merge(chosen(*choices).tree, OmegaConf.from_dotlist(keys)))


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder that a run of three epochs left, which evaluated but did not predict."""
    config = composed("training.num_train_epochs=3", "training.max_steps=-1")
    OmegaConf.save(OmegaConf.create(asdict(config)), tmp_path / "config.yaml")
    phases = {"train": {"steps": 30, "epochs": 3.0}, "eval": evaluation_digest(config)}
    write_json(tmp_path / "run.json", {"status": "finished", "phases": phases})
    return tmp_path


SAME = ("training.num_train_epochs=3", "training.max_steps=-1")


@pytest.mark.parametrize(
    ("words", "plan"),
    [
        ((), RunPlan(True, False, False, False)),
        (("training.do_predict=true",), RunPlan(True, False, False, True)),
        (("generation.num_beams=4",), RunPlan(True, False, True, False)),
        (("data.max_eval_samples=5",), RunPlan(True, False, True, False)),
        (("data.val_max_target_length=99",), RunPlan(True, False, True, False)),
        (("training.num_train_epochs=4",), RunPlan(True, True, True, False)),
        (("training.num_train_epochs=2",), RunPlan(True, False, False, False)),
        (("training.max_steps=31",), RunPlan(True, True, True, False)),
        (("training.max_steps=30",), RunPlan(True, False, False, False)),
        (("tracking=tensorboard",), RunPlan(True, False, False, False)),
        (("overwrite_output_dir=true",), RunPlan(False, True, True, False)),
        (("training.do_eval=false",), RunPlan(True, False, False, False)),
        (("engine=accelerate",), RunPlan(True, False, False, False)),
        (("engine=accelerate", "training.num_train_epochs=4"), RunPlan(True, True, True, False)),
    ],
)
def test_what_is_left_to_do(words: tuple[str, ...], plan: RunPlan, finished: Path) -> None:
    assert plan_run(composed(*SAME, *words), finished) == plan


def test_other_references_are_another_evaluation(finished: Path) -> None:
    config = composed(*SAME)
    config.data.references_column = "all"
    assert plan_run(config, finished) == RunPlan(True, False, True, False)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("training.learning_rate=0.1", "training.learning_rate"),
        ("seed=7", "seed"),
        ("data.max_source_length=9", "data.max_source_length"),
        ("model.architecture.d_model=16", "model.architecture.d_model"),
        ("engine.sampler=upstream", "engine.sampler"),
        ("peft=lora", "peft.name"),
        # What they hold out was trained on.
        ("data.validation_share=0.1", "data.validation_share"),
        ("data.test_share=0.1", "data.test_share"),
    ],
)
def test_another_training_is_rejected_with_the_difference(
    word: str, key: str, finished: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_run(composed(*SAME, word), finished)
    assert key in [problem.key for problem in caught.value.problems]


def test_held_out_rows_depend_on_the_training_file(tmp_path: Path) -> None:
    train = tmp_path / "train.jsonl"

    def digests(number: int, *words: str) -> tuple[str, str]:
        rows = [{"document": f"{number} {n}", "summary": "a"} for n in range(50)]
        train.write_text("\n".join(map(json.dumps, rows)))
        config = chosen("data=custom_json", f"data.train_file={train}", *words).config
        return evaluation_digest(config), prediction_digest(config)

    shares = ("data.validation_share=0.2", "data.test_share=0.2")
    assert not set(digests(0, *shares)) & set(digests(1, *shares))
    only = ("training.do_eval=false",)
    assert digests(0, *only) == digests(1, *only)


MORE = ("training.num_train_epochs=4", "training.max_steps=-1")


def test_another_global_batch_is_rejected_while_training_continues(finished: Path) -> None:
    smaller = "training.per_device_train_batch_size=3"
    with pytest.raises(ConfigError, match="a global batch of 3 rows") as caught:
        plan_run(composed(*MORE, smaller), finished)
    assert [problem.key for problem in caught.value.problems] == [smaller.split("=")[0]]
    # What is trained is not trained again.
    assert not plan_run(composed(*SAME, smaller), finished).train


def test_processes_may_be_traded_for_rows(finished: Path) -> None:
    rows = composed(*MORE).training.per_device_train_batch_size
    words = (f"training.per_device_train_batch_size={rows // 2}", "hardware=ddp2_cpu")
    assert plan_run(composed(*MORE, *words), finished).train
    with pytest.raises(ConfigError, match=f"a global batch of {2 * rows} rows"):
        plan_run(composed(*MORE, "hardware=ddp2_cpu"), finished)


def test_the_cores_of_a_tpu_share_the_rows(finished: Path) -> None:
    rows = composed(*MORE).training.per_device_train_batch_size

    def on_cores(*words: str, count: int | None) -> Config:
        hardware = HardwareConfig(backend="xla", virtual_devices=count)
        return replace(composed(*MORE, *words), hardware=hardware)

    each = "training.per_device_train_batch_size=1"
    assert plan_run(on_cores(each, count=rows), finished).train
    with pytest.raises(ConfigError, match=f"a global batch of {2 * rows} rows"):
        plan_run(on_cores(count=2), finished)
    # A TPU shows its cores once it is at work, so as many as before are expected.
    record = json.loads((finished / "run.json").read_text())
    write_json(finished / "run.json", {**record, "cores": 8})
    assert plan_run(on_cores(count=None), finished).train
    with pytest.raises(ConfigError, match=f"had {8 * rows}"):
        plan_run(composed(*MORE), finished)


def test_batch_and_accumulation_may_be_traded(finished: Path) -> None:
    rows = composed(*SAME).training.per_device_train_batch_size
    words = (f"training.per_device_train_batch_size={rows // 2}",)
    config = composed(*MORE, *words, "training.gradient_accumulation_steps=2")
    assert plan_run(config, finished) == RunPlan(True, True, True, False)


def test_a_run_stopped_before_the_end_of_training_trains(finished: Path) -> None:
    write_json(finished / "run.json", {"status": "interrupted", "phases": {}})
    assert plan_run(composed(*SAME), finished) == RunPlan(True, True, True, False)


STOPPING = (*SAME, "engine.early_stopping_patience=2", "training.num_train_epochs=9")


@pytest.fixture
def stopped_early(finished: Path) -> Path:
    """A folder of a run that was to have nine epochs, and ended after three without a gain."""
    config = composed(*STOPPING)
    OmegaConf.save(OmegaConf.create(asdict(config)), finished / "config.yaml")
    trained = {"steps": 30, "epochs": 3.0, "stopped_early": training_length(config)}
    phases = {"train": trained, "eval": evaluation_digest(config)}
    write_json(finished / "run.json", {"status": "finished", "phases": phases})
    return finished


@pytest.mark.parametrize(
    ("words", "trains"),
    [
        ((), False),
        (("engine=accelerate",), False),
        (("tracking=tensorboard",), False),
        # No more than what was trained.
        (("training.num_train_epochs=3",), False),
        (("training.max_steps=30",), False),
        # Another end than the one that it did not come to.
        (("training.num_train_epochs=10",), True),
        (("training.num_train_epochs=8",), True),
        (("training.max_steps=31",), True),
        (("engine.early_stopping_patience=3",), True),
        (("engine.early_stopping_patience=null",), True),
        (("engine.early_stopping_threshold=0.1",), True),
        (("overwrite_output_dir=true",), True),
    ],
)
def test_what_stopped_early_trains_only_if_more_is_asked_for(
    words: tuple[str, ...], trains: bool, stopped_early: Path
) -> None:
    assert plan_run(composed(*STOPPING, *words), stopped_early).train is trains


def test_what_ended_before_its_end_for_another_reason_trains(stopped_early: Path) -> None:
    record = json.loads((stopped_early / "run.json").read_text())
    del record["phases"]["train"]["stopped_early"]
    write_json(stopped_early / "run.json", record)
    assert plan_run(composed(*STOPPING), stopped_early).train


@pytest.mark.parametrize(
    "word",
    ["engine=accelerate", "engine.early_stopping_patience=2", "engine.early_stopping_threshold=1"],
)
def test_a_run_may_resume_with_another_engine(word: str, finished: Path) -> None:
    assert plan_run(composed(*MORE, word), finished).train


def test_a_new_folder_begins(tmp_path: Path) -> None:
    assert plan_run(composed(), tmp_path / "new") == RunPlan(False, True, True, False)


def test_a_run_that_was_rejected_leaves_its_folder_to_the_right_one(finished: Path) -> None:
    """A mistake that only the model shows is told when the folder is there already."""
    other = composed(*SAME, "seed=7")
    write_json(finished / "run.json", {"status": "failed", "phases": {}})
    assert plan_run(other, finished) == RunPlan(False, True, True, False)
    # What was begun is not thrown away.
    checkpoint = finished / "checkpoint-30"
    checkpoint.mkdir()
    (checkpoint / "scheduler.pt").touch()
    with pytest.raises(ConfigError, match="seed"):
        plan_run(other, finished)
    checkpoint.joinpath("scheduler.pt").unlink()
    checkpoint.rmdir()
    write_json(finished / "run.json", {"status": "interrupted", "phases": {}})
    with pytest.raises(ConfigError, match="seed"):
        plan_run(other, finished)


def test_digests_depend_on_their_own_keys_only() -> None:
    base = composed(*SAME)
    beams = composed(*SAME, "generation.num_beams=4")
    test_rows = composed(*SAME, "data.max_predict_samples=4")
    assert evaluation_digest(base) != evaluation_digest(beams)
    assert prediction_digest(base) != prediction_digest(beams)
    assert evaluation_digest(base) == evaluation_digest(test_rows)
    assert prediction_digest(base) != prediction_digest(test_rows)


def test_a_metric_whose_script_has_changed_is_computed_again(finished: Path) -> None:
    folder = write_metric(finished / "coverage")
    config = composed(*SAME, f"metric.names=[rouge,evaluate:{folder}]")
    OmegaConf.save(OmegaConf.create(asdict(config)), finished / "config.yaml")
    phases = {"train": {"steps": 30, "epochs": 3.0}, "eval": evaluation_digest(config)}
    write_json(finished / "run.json", {"status": "finished", "phases": phases})
    prediction = prediction_digest(config)
    assert plan_run(config, finished) == RunPlan(True, False, False, False)
    write_metric(folder, 'return {"score": 1}')
    assert plan_run(config, finished) == RunPlan(True, False, True, False)
    assert prediction_digest(config) != prediction


def test_flat() -> None:
    tree = {"a": {"b": 1, "c": {}}, "d": [1]}
    assert flat(tree) == {"a.b": 1, "a.c": {}, "d": [1]}


@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
def test_a_checkpoint_of_weights_alone_is_nothing_to_resume_from(
    engine: str, finished: Path
) -> None:
    checkpoint = finished / "checkpoint-30"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"")
    more = (f"engine={engine}", "training.num_train_epochs=4", "training.max_steps=-1")
    # Killed while it wrote: the rest would have come.
    assert plan_run(composed(*more), finished).train
    write_manifest(checkpoint)
    with pytest.raises(ConfigError) as caught:
        plan_run(composed(*more), finished)
    assert [problem.key for problem in caught.value.problems] == ["training.save_only_model"]
    assert not plan_run(composed(*SAME), finished).train
    with pytest.raises(ConfigError) as caught:
        chosen(*more, f"training.resume_from_checkpoint={checkpoint}")
    assert [problem.key for problem in caught.value.problems] == ["training.resume_from_checkpoint"]
    (checkpoint / "scheduler.pt").write_bytes(b"")
    assert plan_run(composed(*more), finished).train
