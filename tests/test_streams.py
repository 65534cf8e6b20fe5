"""Commands whose output nobody reads any more: real pipes, closed descriptors, a full device."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len
from tests import forked
from tests.terminal import Terminal, python

from summexp.streams import LossyFileHandler, wrapped

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")


def shell(script: str, cwd: Path) -> tuple[int, str]:
    """Run a line of bash with $TRAIN and $SUMMEXP; return its exit code and standard error."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{script}"],
        cwd=cwd,
        env={
            **os.environ,
            "TRAIN": f"{sys.executable} {TRAIN}",
            "SUMMEXP": f"{sys.executable} -m summexp",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


OLD = "'python run_summarization.py --model_name_or_path t5-small --dataset_name xsum --do_train'"


def test_a_reader_that_leaves_changes_nothing(tmp_path: Path) -> None:
    commands = [
        "$TRAIN --help",
        "$TRAIN --cfg job",
        "$TRAIN --info config",
        "$SUMMEXP check",
        f"$SUMMEXP migrate {OLD}",
    ]
    # All at once: each takes seconds that it spends importing.
    script = "\n".join(
        f"({command} | true; echo $? > {number}) 2> {number}.err &"
        for number, command in enumerate(commands)
    )
    assert shell(f"{script}\nwait", tmp_path) == (0, "")
    for number, command in enumerate(commands):
        assert (tmp_path / f"{number}").read_text() == "0\n", command
        error = (tmp_path / f"{number}.err").read_text()
        # `migrate` says on standard error what it does otherwise than the old script.
        assert "Broken" not in error, command
        assert not error or "migrate" in command, (command, error)


def test_a_mistake_is_still_one_without_a_reader(tmp_path: Path) -> None:
    code, error = shell("$SUMMEXP check model=t5_smal | true", tmp_path)
    assert code == 2
    assert "Did you mean 't5_small'" in error


def lose_the_reader() -> None:
    reader, writer = os.pipe()
    for descriptor in (1, 2):
        os.dup2(writer, descriptor)
    os.close(writer)
    os.close(reader)


def assert_finished(folder: Path) -> None:
    record = json.loads((folder / "run.json").read_text())
    assert (record["status"], record["reason"]) == ("finished", None)
    # What a library prints to a closed descriptor must not end up in a file of the run.
    assert "eval: step 2" in (folder / "train.log").read_text()
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_a_run_continues_without_a_reader(tmp_path: Path) -> None:
    words = ("debug=tiny", "output_dir=run")
    process = forked.start(*words, log=tmp_path / "log", cwd=tmp_path, before=lose_the_reader)
    process.join(300)
    assert process.exitcode == 0
    assert_finished(tmp_path / "run")


def close_the_output() -> None:
    """Leave what `>&- 2>&-` of a shell leaves to Python: no descriptors, and no streams."""
    os.close(1)
    os.close(2)
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None  # type: ignore[assignment]


def test_a_run_continues_with_its_output_closed(tmp_path: Path) -> None:
    words = ("debug=tiny", "output_dir=run")
    process = forked.start(*words, log=tmp_path / "log", cwd=tmp_path, before=close_the_output)
    process.join(300)
    assert (process.exitcode, (tmp_path / "log").read_text()) == (0, "")
    assert_finished(tmp_path / "run")


@pytest.mark.slow
def test_ranks_continue_with_their_output_closed(tmp_path: Path) -> None:
    code, error = shell("$TRAIN debug=tiny output_dir=run hardware=ddp2_cpu >&- 2>&-", tmp_path)
    assert (code, error) == (0, "")
    assert_finished(tmp_path / "run")


@needs_full_device
def test_what_a_full_disk_rejects_is_no_success(tmp_path: Path) -> None:
    for command in ("$TRAIN --cfg job", "$SUMMEXP check"):
        code, error = shell(f"{command} > /dev/full", tmp_path)
        assert code == 1, command
        assert error == "cannot write to standard output: No space left on device\n"


@needs_full_device
def test_a_log_file_on_a_full_disk_loses_lines_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, full = tmp_path / "whole.log", tmp_path / "full.log"
    full.symlink_to(FULL)
    for path in (whole, full):
        handler = LossyFileHandler(path, encoding="utf-8")
        for number in range(3):
            handler.emit(logging.makeLogRecord({"msg": f"요약 {number}"}))
        handler.close()
    assert whole.read_text(encoding="utf-8") == "요약 0\n요약 1\n요약 2\n"
    assert capsys.readouterr() == ("", "")


def test_lines_are_broken_at_spaces_by_the_cells_that_they_take() -> None:
    korean = "  data.train_file: 파일이 없습니다 그리고 다른 파일도 없습니다"
    assert wrapped(korean, 40) == [
        "  data.train_file: 파일이 없습니다",
        "    그리고 다른 파일도 없습니다",
    ]
    path = "/a/path/that/is/longer/than/any/line"
    assert wrapped(f"run folder: {path} is there", 20) == ["run folder:", f"  {path}", "  is there"]
    assert wrapped("", 20) == [""]


def in_terminal(*words: str, cwd: Path) -> tuple[int, list[str]]:
    """Run `train.py` in a terminal of 80 columns; return its exit code and the lines it shows."""
    terminal = forked.Terminal(*words, cwd=cwd, environment={"TERM": "xterm"})
    code = terminal.end(300)
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", terminal.output)
    return code, re.split(r"[\r\n]+", text)


MISTAKES = (
    "model=t5_smal",
    "data=custom_csv",
    "data.train_file=없는파일.csv",
    "training.fp16=maybe",
)


def test_mistakes_fit_a_terminal_of_80_columns(tmp_path: Path) -> None:
    code, lines = in_terminal(*MISTAKES, cwd=tmp_path)
    assert code == 2
    assert "Did you mean 't5_small'" in " ".join(lines)
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.slow
def test_a_run_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    rows = [
        {"대화": "민아: 버스 탔어. 준: 국 데워 놓을게. " * 20, "요약": f"버스 {n}"}
        for n in range(8)
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "채팅.jsonl").write_text(text, encoding="utf-8")
    files = [f"data.{split}_file=채팅.jsonl" for split in ("train", "validation", "test")]
    words = ("debug=tiny", "data=custom_json", *files, "training.do_predict=true")
    columns = ("data.text_column=대화", "data.summary_column=요약", "hardware=cpu")
    code, lines = in_terminal(*words, *columns, "output_dir=결과", cwd=tmp_path)
    assert (code, "Written" in lines) == (0, True)
    assert [line for line in lines if cell_len(line) > 80] == []


BAR = """
import logging, sys
from tqdm.auto import tqdm
from summexp.streams import TerminalHandler
logging.getLogger().addHandler(TerminalHandler(sys.stderr))
with tqdm(total=4, desc="training", file=sys.stderr) as bar:
    bar.update(1)
    logging.warning("the disk is nearly full")
    bar.update(1)
"""


def test_a_message_has_a_line_of_its_own_above_a_progress_bar(tmp_path: Path) -> None:
    terminal = Terminal(python("-c", BAR), cwd=tmp_path)
    assert terminal.end() == 0
    # What is left of a line that was written over.
    shown = [line.rpartition("\r")[2] for line in terminal.output.split("\n")]
    assert shown[0] == "the disk is nearly full"
    assert shown[1].startswith("training:")
