"""`summexp migrate` on a command line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from summexp import cli, entry


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


OLD = (
    "python run_summarization.py --model_name_or_path t5-small --dataset_name xsum --do_train "
    "--output_dir out"
)
NEW = (
    "python train.py model=t5_small data=xsum output_dir=out training.do_eval=false "
    "training.predict_with_generate=false data.max_target_length=128 model.source_prefix=null\n"
)
DEAR = ["torch", "transformers", "datasets", "pandas", "numpy", "evaluate"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["migrate", *words])
    return stopped.value.code, *capsys.readouterr()


@pytest.mark.parametrize("words", [[OLD], ["--", *OLD.split()], OLD.split(), ["--", OLD]])
def test_one_line_on_standard_output(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (0, NEW)
    assert "--source_prefix: not given" in err
    assert all(line.strip() for line in err.splitlines())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["-"]])
def test_standard_input_is_read(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"#!/bin/sh\n{OLD}\n"))
    assert run(capsys, *words)[:2] == (0, NEW)


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "-h"):
        code, out, err = run(capsys, flag)
        assert (code, err) == (0, "")
        assert out.startswith("usage: summexp migrate")
        assert "  summexp migrate --run " in out
    code, out, _ = run(capsys, "python run_summarization.py -h")
    assert (code, out) == (0, "python train.py --help\n")


def test_a_mistake_leaves_standard_output_empty(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"{OLD} --lerning_rate 1")
    assert (code, out) == (2, "")
    assert "Did you mean '--learning_rate'?" in err
    assert "Traceback" not in err


def test_a_file_of_commands_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Path("train.sh").write_text(OLD, encoding="utf-8")
    code, out, err = run(capsys, "train.sh")
    assert (code, out) == (2, "")
    assert "summexp migrate < train.sh" in err


@pytest.mark.parametrize("words", [["--run", OLD], [OLD, "--run"], ["--run", "--", *OLD.split()]])
def test_run_runs_the_new_command(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []
    monkeypatch.setattr(entry, "main", ran.append)
    monkeypatch.setattr("sys.argv", ["summexp"])
    assert run(capsys, *words)[:2] == (0, NEW)
    assert ran == [NEW.split()[2:]]
    assert sys.argv == ["summexp train", *ran[0]]


def test_a_script_gives_a_line_for_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    script = f"cd x\n{OLD}\nfor s in 1 2; do {OLD} --seed $s; done\n"
    code, out, err = run(capsys, script)
    sweep = NEW.replace("train.py ", "train.py -m seed=1,2 ")
    assert (code, out) == (0, NEW + sweep)
    assert "skipping the other commands: cd\n" in err
    code, out, err = run(capsys, "--run", script)
    assert (code, out) == (2, "")
    assert "--run takes one command, not 2" in err


def test_run_needs_nothing_of_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    command = f"CUDA_VISIBLE_DEVICES=$ABSENT {OLD}"
    assert run(capsys, command)[:2] == (0, f"CUDA_VISIBLE_DEVICES=$ABSENT {NEW}")
    code, out, err = run(capsys, "--run", command)
    assert (code, out) == (2, "")
    assert "variable is not set: $ABSENT" in err


def test_run_goes_as_far_as_train_would(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys,
        "--run",
        "python run_summarization.py --model_name_or_path absent_model --train_file absent.csv "
        "--do_train --output_dir out",
    )
    assert code == 2
    assert out.count("\n") == 1
    assert "there is no file absent.csv" in err


def test_nothing_slow_is_imported() -> None:
    code = f"""
import sys
from summexp.cli import main
try:
    main(["migrate", {OLD!r}])
except SystemExit:
    print(*(name for name in {DEAR!r} if name in sys.modules), file=sys.stderr, end="<dear>")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == NEW
    assert done.stderr.splitlines()[-1] == "<dear>"
