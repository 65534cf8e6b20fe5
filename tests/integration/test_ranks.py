"""Several ranks give the numbers, the rows and the folder of one process."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests import forked

COMMON = (
    "hardware=cpu",
    "model.architecture.d_model=32",
    "model.architecture.d_ff=64",
    "model.architecture.dropout_rate=0",
    "data.max_train_samples=45",
    "data.max_eval_samples=13",
    "data.max_predict_samples=13",
    "generation.max_new_tokens=8",
    "training.per_device_eval_batch_size=3",
    "training.num_train_epochs=2",
    "training.max_steps=-1",
    "training.learning_rate=0.01",
    "training.logging_steps=1",
    "training.do_predict=true",
)
"""45 rows make two global batches of 16 and one of 13, which no split divides."""


def batch(rows: int, accumulation: int = 1) -> tuple[str, str]:
    return (
        f"training.per_device_train_batch_size={rows}",
        f"training.gradient_accumulation_steps={accumulation}",
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(place: Path) -> Path:
    words = (*COMMON, *batch(16), "output_dir=alone")
    code, output = forked.run(*words, log=place / "alone.log", cwd=place)
    assert code == 0, output
    return place / "alone"


def curve(folder: Path, name: str) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in history if name in entry]


def results(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "all_results.json").read_text())
    return {
        name: value
        for name, value in found.items()
        if not name.endswith(("_second", "_runtime", "_flos"))
    }


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


@pytest.mark.parametrize(
    ("engine", "ranks", "rows", "accumulation"),
    [
        pytest.param("trainer", 1, 4, 4, marks=pytest.mark.slow),
        pytest.param("trainer", 2, 8, 1, marks=pytest.mark.slow),
        ("trainer", 2, 2, 4),
        pytest.param("trainer", 3, 4, 1, marks=pytest.mark.slow),
        pytest.param("trainer", 4, 4, 1, marks=pytest.mark.slow),
        ("accelerate", 2, 2, 4),
        pytest.param("accelerate", 3, 4, 1, marks=pytest.mark.slow),
        pytest.param("accelerate", 4, 4, 1, marks=pytest.mark.slow),
    ],
)
def test_any_split_gives_the_same_numbers(
    engine: str, ranks: int, rows: int, accumulation: int, place: Path, alone: Path
) -> None:
    name = f"{engine}-{ranks}x{rows}x{accumulation}"
    words = (*COMMON, f"engine={engine}", *batch(rows, accumulation), f"output_dir={name}")
    codes = forked.run_ranks(ranks, *words, log=place / f"{name}.log", cwd=place)
    output = (place / f"{name}.log.0").read_text()
    assert codes == [0] * ranks, output
    folder = place / name
    assert record(folder)["world_size"] == ranks
    assert record(folder)["devices"] == ["cpu (1 thread)"] * ranks
    assert record(folder)["status"] == "finished"
    predictions = [json.loads(line) for line in (folder / "generated_predictions.jsonl").open()]
    expected = [json.loads(line) for line in (alone / "generated_predictions.jsonl").open()]
    assert [row["id"] for row in predictions] == [row["id"] for row in expected]
    assert len(predictions) == 13
    for rank in range(1, ranks):
        assert (place / f"{name}.log.{rank}").read_text() == ""
    if ranks == 3:
        # 12 rows a step are another training; what was said of rows and order holds.
        return
    for kind in ("loss", "grad_norm", "learning_rate", "eval_loss"):
        assert curve(folder, kind) == pytest.approx(curve(alone, kind), abs=1e-4)
    assert len(curve(folder, "loss")) == 6
    assert results(folder) == pytest.approx(results(alone), abs=1e-4)
    assert [row["prediction"] for row in predictions] == [row["prediction"] for row in expected]


def become_slurm_task() -> None:
    """Have the variables of srun instead of those of torchrun, which sets OMP_NUM_THREADS too."""
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMP_NUM_THREADS"):
        del os.environ[name]
    os.environ |= {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_STEP_TASKS_PER_NODE": size}
    os.environ |= {"SLURM_STEP_NUM_TASKS": size, "SLURM_STEP_NUM_NODES": "1"}
    os.environ |= {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_CPUS_PER_TASK": "3"}


def test_tasks_of_slurm_compute_with_the_cores_they_were_given(place: Path) -> None:
    words = (*COMMON, *batch(8), "output_dir=srun", "training.max_steps=1")
    log = place / "srun.log"
    assert forked.run_ranks(2, *words, log=log, cwd=place, before=become_slurm_task) == [0, 0]
    assert record(place / "srun")["devices"] == ["cpu (3 threads)"] * 2
    assert "OMP_NUM_THREADS" not in (place / "srun.log.0").read_text()


@pytest.mark.slow
def test_the_evaluation_is_that_of_one_process_bit_by_bit(place: Path, alone: Path) -> None:
    """13 rows on 2 and 3 ranks, with a model that is the same."""
    words = (*COMMON, f"model.name_or_path={alone}", "model.init=pretrained")
    words = (*words, "model.architecture={}", "training.do_train=false")
    assert forked.run(*words, "output_dir=e1", log=place / "e1.log", cwd=place)[0] == 0
    for sampled in (False, True):
        drawn = ("generation.do_sample=true",) if sampled else ()
        folders = []
        for ranks in (1, 2, 3):
            name = f"evaluated-{ranks}-{sampled}"
            log = place / f"{name}.log"
            codes = forked.run_ranks(
                ranks, *words, *drawn, f"output_dir={name}", log=log, cwd=place
            )
            assert codes == [0] * ranks, Path(f"{log}.0").read_text()
            folders.append(place / name)
        texts = {(one / "generated_predictions.jsonl").read_text() for one in folders}
        assert len(texts) == 1
        assert results(folders[0]) == results(folders[1]) == results(folders[2])


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
def test_a_stream_is_shared_out(engine: str, place: Path) -> None:
    words = (*COMMON, "data.streaming=true", "training.max_steps=2", "training.do_predict=false")
    words = (*words, "training.eval_strategy=no", "training.save_strategy=no")
    names = [f"stream-{engine}-{ranks}" for ranks in (1, 2)]
    one = (*words, *batch(16), f"output_dir={names[0]}")
    code, output = forked.run(*one, log=place / f"{names[0]}.log", cwd=place)
    assert code == 0, output
    two = (*words, f"engine={engine}", *batch(8), f"output_dir={names[1]}")
    codes = forked.run_ranks(2, *two, log=place / f"{names[1]}.log", cwd=place)
    assert codes == [0, 0], (place / f"{names[1]}.log.0").read_text()
    expected = curve(place / names[0], "loss")
    assert len(expected) == 2
    assert curve(place / names[1], "loss") == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_a_rank_without_rows_does_not_spoil_upstreams_loss(place: Path) -> None:
    # 45 rows make five batches of eight and one of five, which leaves the second rank none.
    words = (*COMMON, "engine.loss=upstream", "training.logging_nan_inf_filter=false")
    words = (*words, *batch(5), "output_dir=upstream", "training.num_train_epochs=12")
    words = (*words, "training.eval_strategy=no", "training.save_strategy=no")
    assert forked.run_ranks(2, *words, log=place / "upstream", cwd=place) == [0, 0]
    losses = curve(place / "upstream", "loss")
    assert len(losses) == 60
    assert all(0 < loss < 20 for loss in losses)


@pytest.mark.slow
def test_a_run_resumes_with_another_number_of_ranks(place: Path) -> None:
    words = (*COMMON, "output_dir=resumed", "training.save_strategy=steps", "training.save_steps=2")
    first = (*words, *batch(8), "training.max_steps=4", "training.lr_scheduler_type=constant")
    second = (*words, *batch(4), "training.max_steps=6", "training.lr_scheduler_type=constant")
    assert forked.run_ranks(2, *first, log=place / "r1", cwd=place) == [0, 0]
    assert forked.run_ranks(4, *second, log=place / "r2", cwd=place) == [0] * 4
    assert "resuming from" in (place / "r2.0").read_text()
    whole = (*second, *batch(16), "output_dir=unbroken")
    assert forked.run(*whole, log=place / "r3", cwd=place)[0] == 0
    one, other = (load_file(place / n / "model.safetensors") for n in ("resumed", "unbroken"))
    for name in one:
        assert one[name].allclose(other[name], atol=1e-4), name


def test_ranks_are_dismissed_where_there_is_nothing_to_do(place: Path, alone: Path) -> None:
    words = (*COMMON, *batch(8), f"output_dir={alone}")
    assert forked.run_ranks(2, *words, log=place / "nothing", cwd=place) == [0, 0]
    assert "already finished, nothing to do: " in (place / "nothing.0").read_text()


def test_a_mistake_is_reported_once_and_ends_all(place: Path) -> None:
    words = (*COMMON, "training.learning_rat=1")
    assert forked.run_ranks(2, *words, log=place / "mistake", cwd=place) == [2, 2]
    assert "learning_rate" in (place / "mistake.0").read_text()
    assert (place / "mistake.1").read_text() == ""


def test_ranks_are_dismissed_where_the_folder_holds_another_run(place: Path, alone: Path) -> None:
    before = (alone / "run.json").stat().st_mtime_ns
    words = (*COMMON, *batch(8), f"output_dir={alone}", "seed=7")
    assert forked.run_ranks(2, *words, log=place / "other", cwd=place) == [2, 2]
    assert "seed: was 42" in (place / "other.0").read_text()
    assert (alone / "run.json").stat().st_mtime_ns == before


def test_what_only_the_leading_rank_finds_wrong_ends_all(place: Path) -> None:
    words = (*COMMON, "model.architecture.d_modl=3")
    codes = forked.run_ranks(2, *words, log=place / "late", cwd=place)
    assert codes[0] == 2
    assert codes[1] != 0
    assert "d_model" in (place / "late.0").read_text()


def test_a_folder_that_cannot_be_made_ends_all(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    codes = forked.run_ranks(2, *COMMON, log=tmp_path / "log", cwd=tmp_path)
    assert codes == [2, 2]
    assert "the folder outputs/" in (tmp_path / "log.0").read_text()
    assert (tmp_path / "log.1").read_text() == ""
