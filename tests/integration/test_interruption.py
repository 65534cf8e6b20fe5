"""A run that a signal stops keeps what it has, says so, and is resumed by the command it names."""

from __future__ import annotations

import functools
import itertools
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import forked
from tests.terminal import Terminal, python

from summexp.run_folder.checkpoints import checkpoints, verify
from summexp.run_folder.layout import MANIFEST

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
TINY = (
    "debug=tiny",
    "training.max_steps=6",
    "training.per_device_train_batch_size=2",
    "training.per_device_eval_batch_size=1",
    "data.max_eval_samples=4",
    "data.max_predict_samples=4",
    "training.do_predict=true",
    "training.eval_strategy=steps",
    "training.eval_steps=3",
    "training.save_strategy=no",
)


def send(number: int, when: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function`, which sends this process a signal at its `when`-th call."""
    calls = 0

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == when:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    return called


def at(moment: str, number: int, when: int) -> None:
    """Send this process a signal at a moment of its run."""
    import summexp.data.collate
    import summexp.engines.accelerate
    import summexp.engines.checkpoint
    import summexp.engines.trainer
    import summexp.engines.training_guard
    import summexp.evaluation.evaluate
    import summexp.run_folder.checkpoints
    import summexp.runs.phase_runner
    import summexp.runs.preparation

    places: dict[str, list[tuple[Any, str]]] = {
        "reading": [(summexp.runs.preparation, "load_corpus")],
        "beginning": [(summexp.engines.training_guard.TrainingGuard, "on_train_begin")],
        "training": [(summexp.engines.training_guard.FiniteLossGuard, "update")],
        "batches": [(summexp.evaluation.evaluate, "_batch_result")],
        "scoring": [(summexp.evaluation.evaluate, "_build_result")],
        "saving": [(summexp.engines.checkpoint, "write_manifest")],
        "model": [
            (summexp.engines.trainer, "save_trained"),
            (summexp.engines.checkpoint, "save_trained"),
        ],
        "report": [(summexp.runs.phase_runner, "write_report")],
    }
    for place, name in places[moment]:
        setattr(place, name, send(number, when, getattr(place, name)))


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def advised(line: str) -> list[str]:
    """The words behind `python train.py` that the last line of a run tells to type."""
    program, script, *words = shlex.split(line.rpartition(": ")[2])
    assert (program, script) == ("python", "train.py")
    return words


ANNOUNCED = {
    "beginning": "stopping before the first step: nothing to save",
    "model": "saving the trained model",
    "report": "finishing the report",
}
NOTHING = "nothing to save; the same command in that folder starts again: "
TRAINED = "the trained model is in {}; the same command in that folder does the rest: "
RESUMES = "saved {}/checkpoint-%d; the same command in that folder resumes from it: "
# Three batches of an evaluation are those of step 3; four rows in each.
CASES = {
    "reading": ("reading", 1, None, NOTHING),
    "beginning": ("beginning", 1, ANNOUNCED["beginning"], NOTHING),
    "a step": ("training", 2, "saving checkpoint-2", RESUMES % 2),
    "an evaluation": ("batches", 2, "saving checkpoint-3", RESUMES % 3),
    "its scores": ("scoring", 1, "saving checkpoint-3", RESUMES % 3),
    "the last step": ("training", 6, "saving checkpoint-6", RESUMES % 6),
    "the model": ("model", 1, ANNOUNCED["model"], TRAINED),
    "prediction": ("batches", 9, "stopping after this batch", TRAINED),
}
QUICK = {
    ("a step", "accelerate"),
    ("prediction", "trainer"),
}
BEFORE_OR_AFTER_THE_ENGINE = {
    ("reading", "accelerate"),
    ("prediction", "accelerate"),
}


@pytest.mark.parametrize(
    ("case", "engine"),
    [
        pytest.param(case, engine, marks=() if (case, engine) in QUICK else pytest.mark.slow)
        for case in CASES
        for engine in ("trainer", "accelerate")
        if (case, engine) not in BEFORE_OR_AFTER_THE_ENGINE
    ],
)
def test_each_part_of_a_run(case: str, engine: str, tmp_path: Path) -> None:
    moment, when, announcement, reported = CASES[case]
    number = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP][len(case) % 3]
    words = (*TINY, f"engine={engine}", "overwrite_output_dir=true")
    log = tmp_path / "log"
    before = functools.partial(at, moment, number, when)
    process = forked.start(*words, log=log, cwd=tmp_path, before=before)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode == 128 + number, output
    assert "Traceback" not in output
    (folder,) = (tmp_path / "outputs").glob("*/*")
    assert (record(folder)["status"], record(folder)["reason"]) == ("interrupted", number.name)
    if announcement is not None:
        assert f"{announcement}, Ctrl-C again to stop at once\n" in output
    last = output.splitlines()[-1]
    place = folder.relative_to(tmp_path)
    assert last.startswith(f"stopped by {number.name}; {reported.format(place)}python train.py ")
    assert last in (folder / "train.log").read_text(encoding="utf-8")
    # What the last line says, word for word, ends the run; it would not begin anew.
    steps = [int(one.name.partition("-")[2]) for one in checkpoints(folder)]
    code, output = forked.run(*advised(last), log=tmp_path / "again", cwd=tmp_path)
    assert code == 0, output
    assert record(folder)["status"] == "finished"
    assert len((folder / "generated_predictions.jsonl").read_text().splitlines()) == 4
    assert [f"checkpoint-{step}" in output for step in steps] == [True] * len(steps)
    assert ("resuming from" in output) is bool(steps)
    if "the trained model" in last:
        assert "loading the trained model from" in output


def stop_group(when: int) -> None:
    """Have somebody else send this process and the workers of its data loader SIGTERM, once."""
    from summexp.engines.training_guard import FiniteLossGuard

    os.setpgrp()
    update, calls = FiniteLossGuard.update, itertools.count(1)

    def called(*args: Any) -> None:
        if next(calls) == when:
            # As `scancel` does. Workers know whether it is their parent that signals.
            kill = ["bash", "-c", f"kill -s TERM -- -{os.getpgrp()}"]
            subprocess.run(kill, start_new_session=True, check=True)
        update(*args)

    FiniteLossGuard.update = called  # type: ignore[method-assign]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
def test_sigterm_for_every_process_of_a_run(engine: str, tmp_path: Path) -> None:
    words = (*TINY, f"engine={engine}", "training.dataloader_num_workers=2", "output_dir=run")
    before, log = functools.partial(stop_group, 2), tmp_path / "log"
    process = forked.start(*words, log=log, cwd=tmp_path, before=before)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode == 128 + signal.SIGTERM, output
    assert output.splitlines()[-1].startswith("stopped by SIGTERM; saved run/checkpoint-2; ")
    assert verify(tmp_path / "run" / "checkpoint-2") is None


def test_a_signal_during_the_report_of_a_finished_run(tmp_path: Path) -> None:
    before = functools.partial(at, "report", signal.SIGTERM, 1)
    log = tmp_path / "log"
    process = forked.start(*TINY, "output_dir=run", log=log, cwd=tmp_path, before=before)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode == 128 + signal.SIGTERM, output
    assert record(tmp_path / "run")["status"] == "finished"
    assert (tmp_path / "run" / "report.html").is_file()
    assert output.endswith("stopped by SIGTERM; the run in run is finished\n")


def second_signal_while_saving(complete: int) -> None:
    """Send this process two signals while it writes the checkpoint after so many others."""
    at("training", signal.SIGINT, complete + 2)
    at("saving", signal.SIGINT, complete + 1)


@pytest.mark.parametrize("engine", ["trainer", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_a_checkpoint_that_a_second_signal_cut_short(engine: str, tmp_path: Path) -> None:
    words = (*TINY, f"engine={engine}", "output_dir=run", "training.eval_strategy=no")
    words = (*words, "training.save_strategy=steps", "training.save_steps=2")
    log = tmp_path / "log"
    before = functools.partial(second_signal_while_saving, 1)
    process = forked.start(*words, log=log, cwd=tmp_path, before=before)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode == 128 + signal.SIGINT, output
    assert "saving checkpoint-3, Ctrl-C again" in output
    (whole,) = checkpoints(tmp_path / "run")
    assert verify(whole) is None
    reported = "stopped by SIGINT; saved run/checkpoint-2; the same command resumes from it: "
    assert output.splitlines()[-1].startswith(reported)
    code, output = forked.run(*words, log=tmp_path / "again", cwd=tmp_path)
    assert code == 0, output
    assert "resuming from" in output
    assert "checkpoint-2\n" in output


LONG = (*TINY, "training.num_train_epochs=10000", "training.max_steps=-1", "training.do_eval=false")
LONG = (*LONG, "training.eval_strategy=no", "training.dataloader_num_workers=1")


@pytest.mark.parametrize(
    "words",
    [
        ("engine=trainer", "hardware=cpu"),
        pytest.param(("engine=accelerate", "hardware=ddp2_cpu"), marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_on_a_terminal(words: tuple[str, ...], tmp_path: Path) -> None:
    terminal = forked.Terminal(*LONG, *words, "output_dir=run", cwd=tmp_path)
    terminal.wait_for("training:", times=3)
    terminal.press()
    assert terminal.end() == 128 + signal.SIGINT, terminal.output
    assert "Traceback" not in terminal.output
    # Once, though each process of the terminal's group has got it.
    (line,) = [one for one in terminal.output.splitlines() if "Ctrl-C again" in one]
    (checkpoint,) = checkpoints(tmp_path / "run")
    assert line == f"saving {checkpoint.name}, Ctrl-C again to stop at once"
    assert verify(checkpoint) is None
    reported = f"stopped by SIGINT; saved run/{checkpoint.name}; the same command resumes from it: "
    assert terminal.last_line.startswith(reported)
    assert record(tmp_path / "run")["reason"] == "SIGINT"


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["cpu", "ddp2_cpu"])
def test_a_terminal_that_is_closed(hardware: str, tmp_path: Path) -> None:
    words = (*LONG, f"hardware={hardware}", "output_dir=run", "hydra.output_subdir=null")
    terminal = forked.Terminal(*words, cwd=tmp_path)
    terminal.wait_for("training:", times=3)
    terminal.hang_up()
    assert terminal.end() == 128 + signal.SIGHUP
    (checkpoint,) = checkpoints(tmp_path / "run")
    assert verify(checkpoint) is None
    assert record(tmp_path / "run")["reason"] == "SIGHUP"
    # Without Hydra's own files there is a log all the same.
    assert "model: T5" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")


@pytest.mark.slow
def test_ctrl_c_stops_a_sweep_after_the_running_job_has_saved(tmp_path: Path) -> None:
    terminal = forked.Terminal("-m", *LONG, "seed=1,2", cwd=tmp_path)
    terminal.wait_for("training:", times=3)
    terminal.press()
    assert terminal.end() == 128 + signal.SIGINT, terminal.output
    assert "Traceback" not in terminal.output
    (sweep,) = (tmp_path / "multirun").glob("*/*")
    (checkpoint,) = checkpoints(sweep / "0")
    assert record(sweep / "0")["reason"] == "SIGINT"
    assert not (sweep / "1").exists()
    words = shlex.split(terminal.last_line.rpartition(": ")[2])
    assert words[-1] == f"output_dir={sweep.relative_to(tmp_path)}"
    step = int(checkpoint.name.partition("-")[2])
    words = [*words[2:], "training.num_train_epochs=1", f"training.max_steps={step + 1}"]
    code, output = forked.run(*words, log=tmp_path / "again", cwd=tmp_path)
    assert code == 0, output
    assert f"resuming from {checkpoint}" in output
    assert record(sweep / "1")["status"] == "finished"


def finish_no_checkpoint() -> None:
    """Let no checkpoint be finished before ten minutes."""
    from summexp.engines import checkpoint

    checkpoint.write_manifest = lambda _: time.sleep(600)


@pytest.mark.slow
def test_a_second_ctrl_c_ends_ranks_at_once(tmp_path: Path) -> None:
    """While they wait, as for a checkpoint that takes long."""
    words = (*LONG, "hardware=ddp2_cpu", "output_dir=run")
    terminal = forked.Terminal(*words, cwd=tmp_path, before=finish_no_checkpoint)
    terminal.wait_for("training:", times=3)
    terminal.press()
    terminal.wait_for("Ctrl-C again to stop at once")
    terminal.press()
    assert terminal.end() == 128 + signal.SIGINT, terminal.output
    assert not list((tmp_path / "run").glob(f"checkpoint-*/{MANIFEST}"))
    assert record(tmp_path / "run")["reason"] == "SIGINT"


@pytest.mark.slow
def test_ctrl_c_under_another_launcher(tmp_path: Path) -> None:
    """`accelerate launch`, which runs torchrun, with which it has what it does at a signal."""
    launcher = ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2")
    words = (*LONG, "hardware=ddp2_cpu", "output_dir=run")
    terminal = Terminal(
        python("-m", *launcher, TRAIN, *words),
        cwd=tmp_path,
        environment={"ACCELERATE_USE_CPU": "1"},
    )
    terminal.wait_for("training:", times=3)
    terminal.press()
    assert terminal.end() != 0
    (checkpoint,) = checkpoints(tmp_path / "run")
    assert verify(checkpoint) is None
    reported = f"stopped by SIGINT; saved run/{checkpoint.name}; the same command resumes from it"
    assert reported in terminal.output
    assert terminal.output.count("Ctrl-C again") == 1
    assert record(tmp_path / "run")["reason"] == "SIGINT"
