from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from summexp import cli
from summexp.check import check
from summexp.command_line import parse
from summexp.config.saved import saved_yaml
from summexp.run_folder.atomic_files import write_json
from summexp.runs.resume import evaluation_digest

SLOW_IMPORTS = ["torch", "transformers", "datasets", "pandas", "numpy", "evaluate"]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    code = stopped.value.code
    assert isinstance(code, int)
    return code, *capsys.readouterr()


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"summexp {version('summexp')}\n", "")
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert "train" in out
    assert "check" in out
    for verb in ("train", "check", "score", "migrate"):
        code, out, err = run(capsys, verb, "--help")
        assert (code, err) == (0, "")
        assert out.startswith(f"usage: summexp {verb}")
        assert f"  summexp {verb} " in out


def test_an_unknown_verb_brings_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "chek", "model=t5_small")
    assert (code, out) == (2, "")
    assert "Did you mean 'check'?" in err
    code, _, err = run(capsys, "check", "model=t5_smal")
    assert code == 2
    assert "Did you mean 't5_small'" in err


def test_check_reports_what_would_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run(capsys, "check", "model=t5_small", "data=xlsum", "output_dir=runs/a")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "all checks passed:",
        "model    google-t5/t5-small",
        "data     csebuetnlp/xlsum english",
        "phases   train, eval",
        "device   auto",
        "folder   runs/a",
    ]
    assert list(tmp_path.iterdir()) == []


def test_check_reports_that_nothing_would_be_cached(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUMMEXP_CACHE", "/dev/null/cache")
    code, _, err = run(capsys, "check")
    assert (code, err) == (
        0,
        "caching is disabled: /dev/null/cache is not writable; set SUMMEXP_CACHE to another "
        "folder\n",
    )
    assert run(capsys, "check", "debug=tiny")[2] == ""


def test_check_reports_what_a_sweep_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "-m", "seed=1,2")
    assert code == 0
    assert out.splitlines() == [
        "all checks passed for this sweep of 2 jobs:",
        "   0 seed=1",
        "   1 seed=2",
        "folder   a new folder under multirun/, with a numbered folder for each job",
    ]


ANSWERED_AT_ONCE = [
    ["check", "--help"],
    ["train", "--help"],
    ["train", "--cfg", "job"],
    ["train", "training.learnin_rate=1"],
    ["check", "model=t5_smal"],
    ["check", "debug=tiny"],
]
ANSWERS = f"""
import sys
from summexp.cli import main
for words in {ANSWERED_AT_ONCE!r}:
    try:
        main(words)
    except SystemExit as end:
        found = [name for name in {SLOW_IMPORTS!r} if name in sys.modules]
        print("<end>", end.code, *found, file=sys.stderr)
"""


def test_what_answers_at_once_imports_nothing_slow() -> None:
    words = [sys.executable, "-c", ANSWERS]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    ends = [line for line in done.stderr.splitlines() if line.startswith("<end>")]
    assert ends == [f"<end> {code}" for code in (0, 0, 0, 2, 2, 0)]


def test_the_module_is_the_program() -> None:
    words = [sys.executable, "-m", "summexp", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == f"summexp {version('summexp')}\n"


def test_check_reports_what_is_left_to_do_in_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ("data=custom_csv", "data.train_file=gone.csv", "data.validation_file=gone.csv")
    config = check(parse([*own, "output_dir=out", "--cfg", "job"]))[0].config
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.yaml").write_text(saved_yaml(config, "a run"), encoding="utf-8")
    trained = {"steps": config.training.max_steps, "epochs": 1.0}
    phases = {"train": trained, "eval": evaluation_digest(config)}
    write_json(tmp_path / "out" / "run.json", {"status": "finished", "phases": phases})
    (tmp_path / "new.csv").write_text("document,summary\nIt rained.,Rain.\n", encoding="utf-8")
    predict = ("output_dir=out", "training.do_predict=true", "data.test_file=new.csv")
    for words, shown in ((predict, "predict"), (predict[:1], "none, the run is already")):
        code, out, err = run(capsys, "check", *words)
        assert (code, err) == (0, "")
        assert f"phases   {shown}" in out
        assert "config   inherited from out/config.yaml: data (9)\n" in out
