"""`train.py` as a process of its own: exit codes, what is said where, what is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests import forked
from tests.terminal import heed_signals

from summexp.config.compose import conf_dir
from summexp.entry import main

TRAIN = Path(__file__).resolve().parents[1] / "train.py"


def train(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TRAIN), *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def assert_one_message(printed: str) -> None:
    assert "Nothing was started." in printed
    assert "Traceback" not in printed
    assert "HYDRA_FULL_ERROR" not in printed


def test_a_mistake_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    done = train("model=t5_smal", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_message(done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--cfg", "hydra", "model=t5_smal"],
        ["+training.learning_rate=1"],
        ["-m", "seed=1,x"],
        ["--cfg", "job", "--package", "modle"],
        ["--info", "defaults", "model=t5_smal"],
        ["hydra.launcher._target_=os.system"],
        ["data=custom_csv", "data.train_file=absent.csv"],
        ["--cfg"],
    ],
)
def test_other_mistakes_in_this_process(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert_one_message(err)
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_that_cannot_be_made_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("")
    code, output = forked.run("debug=tiny", log=tmp_path / "log", cwd=tmp_path)
    assert code == 2
    assert "cannot create the folder outputs: outputs is a file, not a folder" in output
    advice = re.search(r"such as (output_dir=(\S+))", output)
    assert advice is not None
    # Not below the file that is in the way.
    assert Path(advice[2]).is_absolute()


def test_a_secret_reaches_neither_message_nor_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "a-key-of-no-known-form"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", secret)
    with pytest.raises(SystemExit) as stopped:
        main([f"tracking.project={secret}"])
    assert stopped.value.code == 2
    assert secret not in "".join(capfd.readouterr())
    assert list(tmp_path.iterdir()) == []


def test_the_composed_config_is_shown_as_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = train("--cfg", "job", "model=mbart50", "model.lang=ko_KR", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = OmegaConf.create(done.stdout)
    assert "hydra" not in shown
    assert shown.model.forced_bos_token == "ko_KR"
    assert OmegaConf.to_container(shown).get("model", {})["forced_bos_token"] == "${.lang}"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["--cfg", "job", "--resolve", "--package", "model", "model=mbart50"])
    out, err = capsys.readouterr()
    assert (stopped.value.code, err) == (0, "")
    assert out.startswith("# @package model\nname_or_path: facebook/mbart-large-50\n")
    assert "forced_bos_token: en_XX\n" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("word", "answer"), [("--help", "usage: python train.py"), ("--version", "summexp ")]
)
def test_help_and_version_answer(
    word: str,
    answer: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", word])
    with pytest.raises(SystemExit) as stopped:
        main([word])
    out, err = capsys.readouterr()
    assert (stopped.value.code, err) == (0, "")
    assert out.startswith(answer)
    assert list(tmp_path.iterdir()) == []


def test_the_entry_is_short() -> None:
    assert len(TRAIN.read_text(encoding="utf-8").splitlines()) < 40
    assert (conf_dir() / "config.yaml").is_file()


@pytest.mark.parametrize("program", [(str(TRAIN),), ("-m", "summexp", "train")])
def test_ctrl_c_while_the_program_is_imported(program: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", *program, "debug=tiny"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    )
    assert process.stderr is not None
    while "omegaconf.errors" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    printed = process.communicate()[1]
    assert "Traceback" not in printed
    assert process.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
    assert not any(tmp_path.iterdir())
