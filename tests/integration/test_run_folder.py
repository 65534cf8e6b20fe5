"""What happens when a folder is used again, twice at once, or left early."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import forked

TINY = ("debug=tiny", "data.max_eval_samples=4")


def run(folder: Path, *words: str, expect: int = 0) -> str:
    log = folder / f"{time.monotonic_ns()}.log"
    code, output = forked.run(*TINY, *words, log=log, cwd=folder)
    assert code == expect, output
    assert "Traceback" not in output
    return output


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def written(folder: Path) -> dict[str, int]:
    return {
        path.name: path.stat().st_mtime_ns
        for path in folder.iterdir()
        if path.is_file() and path.name not in ("train.log", ".summexp.lock", ".summexp.lock.json")
    }


@pytest.fixture(scope="module")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    run(folder, "output_dir=run")
    return folder / "run"


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """The folder `run` of a run that has ended, a copy that is the test's own."""
    return shutil.copytree(finished_once, tmp_path / "run")


def test_a_finished_run_does_nothing(finished: Path) -> None:
    before = written(finished)
    output = run(finished.parent, "output_dir=run")
    assert "already finished, nothing to do: " in output
    assert written(finished) == before


@pytest.mark.slow
def test_prediction_of_a_finished_run_only_predicts(finished: Path) -> None:
    before = written(finished)
    run(finished.parent, "output_dir=run", "training.do_predict=true")
    after = written(finished)
    for name in ("model.safetensors", "train_results.json", "eval_results.json"):
        assert after[name] == before[name], name
    rows = (finished / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 8
    assert {"predict_rougeL", "eval_rougeL", "train_loss"} <= json.loads(
        (finished / "all_results.json").read_text()
    ).keys()
    again = run(finished.parent, "output_dir=run", "training.do_predict=true")
    assert "nothing to do" in again
    beams = run(finished.parent, "output_dir=run", "training.do_predict=true", "generation=beam4")
    assert "predict" in beams
    assert written(finished)["model.safetensors"] == before["model.safetensors"]


def test_another_training_in_the_same_folder_is_rejected(finished: Path) -> None:
    before = written(finished)
    output = run(
        finished.parent,
        "output_dir=run",
        "training.learning_rate=0.5",
        "model.architecture.d_ff=16",
        expect=2,
    )
    assert "training.learning_rate: was" in output
    assert "is 0.5 now" in output
    assert "model.architecture.d_ff" in output
    assert "overwrite_output_dir=true" in output
    assert written(finished) == before


def test_more_steps_resume(finished: Path) -> None:
    output = run(finished.parent, "output_dir=run", "training.max_steps=4")
    assert "resuming from" in output
    assert "checkpoint-2" in output
    state = json.loads((finished / "trainer_state.json").read_text())
    assert state["global_step"] == 4
    assert [entry["step"] for entry in state["log_history"] if "loss" in entry] == [1, 2, 3, 4]


def test_overwriting_starts_anew_and_keeps_foreign_files(finished: Path) -> None:
    (finished / "notes.txt").write_text("mine")
    (finished / "checkpoint-2" / "mark").write_text("")
    run(
        finished.parent,
        "output_dir=run",
        "overwrite_output_dir=true",
        "training.learning_rate=0.5",
    )
    assert (finished / "notes.txt").read_text() == "mine"
    assert not (finished / "checkpoint-2" / "mark").exists()
    assert record(finished)["status"] == "finished"


def test_a_folder_with_foreign_files_of_our_names_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "README.md").write_text("mine")
    for words in ([], ["overwrite_output_dir=true"]):
        output = run(tmp_path, "output_dir=work", *words, expect=2)
        assert "README.md" in output
    assert [path.name for path in (tmp_path / "work").iterdir() if path.suffix] == ["README.md"]
    assert (tmp_path / "work" / "README.md").read_text() == "mine"


@pytest.fixture
def long_run(tmp_path: Path) -> Iterator[Any]:
    """A run in `run` that trains until it is stopped, with the test at the latest."""
    words = (*TINY, "output_dir=run", "training.max_steps=100000", "training.eval_strategy=no")
    log = tmp_path / "long.log"
    process = forked.start(*words, "training.save_strategy=no", log=log, cwd=tmp_path)
    wait_for_training(tmp_path)
    yield process
    process.kill()
    process.join()


def wait_for_training(folder: Path) -> None:
    deadline = time.monotonic() + 300
    while "step" not in (folder / "long.log").read_text() if (folder / "long.log").exists() else 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_live_run_is_rejected_and_the_first_continues(
    tmp_path: Path, long_run: Any
) -> None:
    before = {name: t for name, t in written(tmp_path / "run").items() if name == "config.yaml"}
    output = run(tmp_path, "output_dir=run", expect=2)
    assert f"another run is using run: process {long_run.pid} of " in output
    assert long_run.is_alive()
    after = written(tmp_path / "run")
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_code_and_is_recorded(
    tmp_path: Path, number: int, long_run: Any
) -> None:
    time.sleep(0.3)
    os.kill(long_run.pid, number)
    long_run.join(300)
    assert long_run.exitcode == 128 + number
    ended = record(tmp_path / "run")
    assert ended["status"] == "interrupted"
    assert ended["reason"] == signal.Signals(number).name
    assert "Traceback" not in (tmp_path / "long.log").read_text()


def test_the_config_of_a_run_is_complete_and_loadable(finished: Path) -> None:
    from omegaconf import OmegaConf

    from summexp.config.keys import declared_fields

    config = OmegaConf.load(finished / "config.yaml")
    missing = [
        key for key in declared_fields() if OmegaConf.select(config, key, default=...) is ...
    ]
    assert missing == []
    assert config.data.name == "news_briefs"
    assert config.debug.tiny is True


def test_a_sweep_goes_to_numbered_folders(tmp_path: Path) -> None:
    run(tmp_path, "-m", "seed=1,2", "output_dir=sweep")
    seeds = [
        json.loads((tmp_path / "sweep" / job / "run.json").read_text())["status"]
        for job in ("0", "1")
    ]
    assert seeds == ["finished", "finished"]
    assert not (tmp_path / "multirun").exists()


def test_runs_of_one_second_get_two_folders(tmp_path: Path) -> None:
    processes = [
        forked.start(*TINY, log=tmp_path / f"{number}.log", cwd=tmp_path) for number in range(2)
    ]
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    folders = list((tmp_path / "outputs").glob("*/*"))
    assert len(folders) == 2
    assert {record(folder)["status"] for folder in folders} == {"finished"}


def csv(path: Path, rows: int, word: str = "rain") -> Path:
    lines = [
        f'"The {word} fell on town {n} for a day. It stopped.","{word} {n}"' for n in range(rows)
    ]
    path.write_text("\n".join(["document,summary", *lines]) + "\n", encoding="utf-8")
    return path


OWN = ("data=custom_csv", "data.train_file=train.csv", "data.validation_file=dev.csv")


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    for name in ("train", "dev", "test"):
        csv(tmp_path / f"{name}.csv", 8)
    return tmp_path


def test_training_does_not_resume_with_other_rows(own_data: Path) -> None:
    run(own_data, *OWN, "output_dir=run")
    csv(own_data / "train.csv", 8, "snow")
    output = run(own_data, *OWN, "output_dir=run", "training.max_steps=4", expect=2)
    assert "the training rows differ from those" in output


def test_a_folder_knows_its_model_and_data(own_data: Path) -> None:
    named = ("data.text_column=document", "data.summary_column=summary", "seed=3")
    run(own_data, *OWN, *named, "model=bart_base", "output_dir=run")
    for name in ("train.csv", "dev.csv"):
        (own_data / name).unlink()
    before = written(own_data / "run")
    words = ("output_dir=run", "training.do_predict=true", "data.test_file=test.csv")
    output = run(own_data, *words)
    assert "inherited from run/config.yaml: " in output
    text = (own_data / "run" / "generated_predictions.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 8
    assert written(own_data / "run")["model.safetensors"] == before["model.safetensors"]
    assert "nothing to do" in run(own_data, *words)


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["ddp2_cpu", None])
def test_ranks_inherit_what_the_first_does(hardware: str | None, own_data: Path) -> None:
    run(own_data, *OWN, "model=bart_base", "output_dir=run")
    (own_data / "train.csv").unlink()
    words = ("output_dir=run", "training.do_predict=true", "data.test_file=test.csv")
    if hardware is not None:
        run(own_data, *words, f"hardware={hardware}")
    else:
        log = own_data / "ranks.log"
        codes = forked.run_ranks(2, *TINY, *words, "hardware=cpu", log=log, cwd=own_data)
        assert codes == [0, 0], (own_data / "ranks.log.0").read_text(encoding="utf-8")
    text = (own_data / "run" / "generated_predictions.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 8
    # More training in one process has the global batch that it had.
    csv(own_data / "train.csv", 8)
    run(own_data, "output_dir=run", "training.max_steps=3")


@pytest.mark.slow
def test_scores_of_an_older_model_do_not_stay(own_data: Path) -> None:
    predict = ("data.test_file=test.csv", "training.do_predict=true")
    run(own_data, *OWN, *predict, "output_dir=run")
    run(own_data, *OWN, "output_dir=run", "training.max_steps=4")
    results = json.loads((own_data / "run" / "all_results.json").read_text())
    assert "eval_rougeL" in results
    assert not [name for name in results if name.startswith("predict_")]
    assert not (own_data / "run" / "generated_predictions.jsonl").exists()


@pytest.mark.slow
def test_a_changed_test_file_is_predicted_again(own_data: Path) -> None:
    words = (*OWN, "data.test_file=test.csv", "training.do_predict=true", "output_dir=run")
    run(own_data, *words)
    csv(own_data / "test.csv", 5)
    run(own_data, *words)
    text = (own_data / "run" / "generated_predictions.jsonl").read_text()
    assert len(text.splitlines()) == 5


def test_one_entry_of_validation_files_has_its_name(own_data: Path) -> None:
    files = "data.validation_files={a: dev.csv}"
    words = ("data=custom_csv", "data.train_file=train.csv", files, "objective=eval_a_rougeL")
    run(own_data, *words, "output_dir=run")
    assert "eval_a_rougeL" in json.loads((own_data / "run" / "eval_results.json").read_text())


@pytest.mark.slow
def test_overfitting_is_scored_on_the_training_rows_each_time(own_data: Path) -> None:
    csv(own_data / "dev.csv", 3)
    words = ("data=custom_csv", "data.train_file=train.csv", "data.validation_file=dev.csv")
    overfit = ("debug.overfit=true", "data.max_eval_samples=8", "output_dir=run")
    for more in ((), ("generation=beam4",)):
        run(own_data, *words, *overfit, *more)
        results = json.loads((own_data / "run" / "eval_results.json").read_text())
        assert results["eval_samples"] == 8


def test_a_corrupt_config_is_one_problem(finished: Path) -> None:
    (finished / "config.yaml").write_text("a: [b")
    output = run(finished.parent, "output_dir=run", expect=2)
    assert "cannot read run/config.yaml" in output
    assert "1 problem" in output


@pytest.mark.slow
def test_corrupt_results_are_written_again(finished: Path) -> None:
    (finished / "all_results.json").write_text('{"x": ')
    run(finished.parent, "output_dir=run", "generation=beam4")
    assert "train_loss" in json.loads((finished / "all_results.json").read_text())


@pytest.mark.slow
def test_overwriting_twice_keeps_a_file_that_was_put_there_later(finished: Path) -> None:
    (finished / "tokenizer_notes.txt").write_text("mine")
    (finished / "vocab.txt").write_text("mine")
    for _ in range(2):
        run(finished.parent, "output_dir=run", "overwrite_output_dir=true")
    assert (finished / "tokenizer_notes.txt").read_text() == "mine"
    assert (finished / "vocab.txt").read_text() == "mine"


@pytest.mark.parametrize("folder", ["train.csv/run", "/proc/run"])
def test_a_folder_that_cannot_be_made_is_reported(own_data: Path, folder: str) -> None:
    output = run(own_data, f"output_dir={folder}", expect=2)
    assert "output_dir" in output


def test_the_reason_of_a_failed_job_is_the_last_word_of_a_sweep(own_data: Path) -> None:
    words = ("model.architecture.num_heads=4,2", "model.architecture.d_modell=8")
    output = run(own_data, "-m", *words, "output_dir=sweep", expect=2)
    assert output.splitlines()[-2].endswith(" failed")
    assert "d_modell" in output


def test_the_other_jobs_of_a_sweep_run_and_each_failed_one_is_named(tmp_path: Path) -> None:
    unevaluated = ("training.do_eval=false", "training.eval_strategy=no")
    key = "model.architecture.feed_forward_proj"
    words = ("-m", f"{key}=odd,relu,odder", *unevaluated, "output_dir=sweep")
    output = run(tmp_path, *words, expect=1)
    assert output.splitlines()[-5:] == [
        "2 of 3 jobs failed:",
        f"job 0 ({key}=odd) failed",
        f"  in sweep/0: 1 problem: {key}: 'odd'",
        f"job 2 ({key}=odder) failed",
        f"  in sweep/2: 1 problem: {key}: 'odder'",
    ]
    assert "Error executing job" not in output
    assert "HYDRA_FULL_ERROR" not in output
    statuses = [record(tmp_path / "sweep" / str(number))["status"] for number in range(3)]
    assert statuses == ["failed", "finished", "failed"]
