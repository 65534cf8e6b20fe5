"""The command that a run records starts the same run again, however it was started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import forked

from summexp.config.escaping import override, unescaped

ROOT = Path(__file__).resolve().parents[2]
TRAIN = str(ROOT / "train.py")
CHOICE = "# @package _global_\nmodel:\n  init: random\n  architecture:\n    model_type: bart\n"
WORDS = (
    "debug=tiny",
    "training.max_steps=1",
    "training.do_eval=false",
    "data.max_train_samples=8",
    override("model.source_prefix", "요약 '${lang}' \"要約\" $HOME `x` !: \\"),
    override("tracking.tags", ["a, b", "본문", "\\${c}", "!"]),
    # Without effect, as gradient checkpointing is off.
    override("training.gradient_checkpointing_kwargs", {"name": "x y", "n": 1}),
)
OWN = ("--config-dir", "내 choices", "model=mine")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "내 choices" / "model").mkdir(parents=True)
    (tmp_path / "내 choices" / "model" / "mine.yaml").write_text(CHOICE, encoding="utf-8")
    (tmp_path / "train.py").symlink_to(TRAIN)
    return tmp_path


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def assert_repeats(folder: Path, place: Path) -> str:
    """Paste the recorded command into a shell, and compare what it composes; return it."""
    command = record(folder)["command"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", f"{command} --cfg job --resolve"],
        cwd=place,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    composed = yaml.safe_load(done.stdout)
    saved = unescaped(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")))
    assert os.path.abspath(place / composed["output_dir"]) == saved["output_dir"]
    composed["output_dir"] = saved["output_dir"]
    assert composed == saved
    assert f"{command}\n" in (folder / "report.md").read_text(encoding="utf-8")
    return str(command)


def test_a_run(place: Path) -> None:
    words = (*OWN, *WORDS, "output_dir=my run")
    code, output = forked.run(*words, log=place / "log", cwd=place)
    assert code == 0, output
    assert assert_repeats(place / "my run", place).startswith("python train.py ")
    card = (place / "my run" / "README.md").read_text(encoding="utf-8")
    assert record(place / "my run")["command"] in card


@pytest.mark.slow
def test_the_config_of_a_run_and_a_job_of_a_sweep(place: Path) -> None:
    """The sweep's root is the `config.yaml` of a run with ranks of its own."""
    words = (*OWN, *WORDS, "hardware=ddp2_cpu", "output_dir=one")
    code, output = forked.run(*words, log=place / "log", cwd=place)
    assert code == 0, output
    assert_repeats(place / "one", place)
    first = (place / "one" / "config.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.endswith(": python train.py --config-dir one --config-name config")
    root = ("--config-dir", "one", "--config-name", "config", "hardware=cpu", "output_dir=two")
    words = ("-m", *root, "seed=1,2", override("tracking.project", "a, ${b}"))
    code, output = forked.run(*words, log=place / "log2", cwd=place)
    assert code == 0, output
    command = assert_repeats(place / "two" / "1", place)
    assert " -m" not in command
    assert command.endswith(" output_dir=two/1")


def started(program: str, *words: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Run the command of a shell's line to its end, and require that it succeeds."""
    # As most users have it.
    environment = {name: one for name, one in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *words],
        cwd=place,
        env={**environment, "ACCELERATE_USE_CPU": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
def test_the_command_of_the_package_starts(place: Path) -> None:
    """Others are below; `python train.py` is how the runs of these tests are started."""
    started("summexp", "train", *OWN, *WORDS, "hardware=cpu", "output_dir=run", place=place)
    assert assert_repeats(place / "run", place).startswith("summexp train ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "launcher"),
    [
        ("accelerate", ["accelerate", "launch", "--multi_gpu", "--num_processes=2", "train.py"]),
        ("trainer", ["torchrun", "--nproc-per-node=2", "-m", "summexp", "train"]),
    ],
)
def test_other_launchers_start_the_ranks(engine: str, launcher: list[str], place: Path) -> None:
    words = (*OWN, *WORDS, "training.do_eval=true", "training.eval_strategy=epoch")
    before = {*place.iterdir()}
    done = started(
        *launcher, *words, f"engine={engine}", "hardware=ddp2_cpu", "output_dir=run", place=place
    )
    # torchrun says that it sets it; Accelerate would say that it is not set.
    assert "OMP_NUM_THREADS/MKL_NUM_THREADS" not in done.stderr
    run = place / "run"
    assert {*place.iterdir()} - before == {run}
    assert record(run)["world_size"] == 2
    log = (run / "train.log").read_text(encoding="utf-8")
    assert "starting" not in log
    assert len(re.findall(r"^.*model: Bart", log, re.MULTILINE)) == 1
    assert (run / ".hydra" / "overrides.yaml").is_file()
    assert assert_repeats(run, place).startswith(f"{' '.join(launcher)} ")
