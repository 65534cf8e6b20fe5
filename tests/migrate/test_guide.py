"""Every command of the guide migrates, composes, and sets the same values."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.composed import composed, jobs_of, migrated, value_at
from tests.migrate.guide import GUIDE

from summexp import cli
from summexp.migrate.command import Migration
from summexp.migrate.shell import read_shell

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "guide"
PAGE = ROOT / "docs" / "coming-from-the-scripts.md"

T5 = {
    "model.name_or_path": "google-t5/t5-small",
    "model.init": "pretrained",
    "model.source_prefix": "summarize: ",
    "training.do_train": True,
    "training.do_eval": True,
    "training.do_predict": False,
    "training.predict_with_generate": True,
    "training.num_train_epochs": 3.0,
    "training.max_steps": -1,
    "training.learning_rate": 5e-5,
    "training.fp16": False,
    "data.max_source_length": 1024,
    "data.max_target_length": 128,
    "data.max_train_samples": None,
    "engine.name": "trainer",
    "hardware.backend": "auto",
    "hardware.processes": None,
}
CNN = {
    "data.name": "abisee/cnn_dailymail",
    "data.config_name": "3.0.0",
    "data.text_column": "article",
    "data.summary_column": "highlights",
}
FOUR = {
    "output_dir": "/tmp/tst-summarization",
    "overwrite_output_dir": True,
    "training.per_device_train_batch_size": 4,
    "training.per_device_eval_batch_size": 4,
}
USUAL = {**T5, **CNN, **FOUR}
TENSORFLOW = {
    **USUAL,
    "overwrite_output_dir": False,
    "model.source_prefix": None,
    "training.per_device_train_batch_size": 8,
    "training.per_device_eval_batch_size": 16,
}
FILE = "path_to_csv_or_jsonlines_file"
VALUES: dict[str, dict[str, Any]] = {
    "train": USUAL,
    "train_tensorflow": TENSORFLOW,
    "distributed": {
        **USUAL,
        "hardware.backend": "cuda",
        "hardware.processes": 8,
        "training.fp16": True,
    },
    "tpu": {**USUAL, "hardware.backend": "xla"},
    "tpu_tensorflow": {**TENSORFLOW, "hardware.backend": "xla"},
    "accelerate": {
        **T5,
        **CNN,
        "output_dir": "/home/you/tmp/tst-summarization",
        "engine.name": "accelerate",
        "training.per_device_train_batch_size": 8,
        "training.per_device_eval_batch_size": 8,
    },
    "own_files": {
        **T5,
        **FOUR,
        "data.name": None,
        "data.train_file": FILE,
        "data.validation_file": FILE,
        "data.text_column": "text_column_name",
        "data.summary_column": "summary_column_name",
    },
    "few_samples": {
        **USUAL,
        "data.max_train_samples": 50,
        "data.max_eval_samples": 50,
        "data.max_predict_samples": 50,
    },
    "same_folder": {
        **USUAL,
        "output_dir": "previous_output_dir",
        "overwrite_output_dir": False,
        "training.resume_from_checkpoint": None,
    },
    "checkpoint": {
        **USUAL,
        "training.resume_from_checkpoint": "path_to_specific_checkpoint",
    },
    "share": {
        **USUAL,
        "training.push_to_hub": True,
        "training.hub_model_id": "finetuned-t5-cnn_dailymail",
    },
}


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Migration]:
    """Return the new command for each command of the guide."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("guide"))
        patched.setenv("HOME", "/home/you")
        return {name: migrated(command) for name, command in GUIDE.items()}


def test_the_copy_is_whole() -> None:
    assert {*VALUES, "help"} == set(GUIDE)


@pytest.mark.parametrize("name", VALUES)
def test_command_sets_the_same(name: str, guide: dict[str, Migration]) -> None:
    config = composed(guide[name].line)
    assert {key: value_at(config, key) for key in VALUES[name]} == VALUES[name]


def test_files_are_chosen_where_they_set_the_same(guide: dict[str, Migration]) -> None:
    lines = {name: one.line for name, one in guide.items()}
    assert lines["train"] == (
        "python train.py model=t5_small data=cnn_dailymail output_dir=/tmp/tst-summarization "
        "training.per_device_train_batch_size=4 training.per_device_eval_batch_size=4 "
        "overwrite_output_dir=true"
    )
    chosen = {name: line.split()[2:5] for name, line in lines.items()}
    assert chosen["distributed"] == ["model=t5_small", "data=cnn_dailymail", "hardware=ddp8_fp16"]
    assert chosen["tpu"][2] == chosen["tpu_tensorflow"][2] == "hardware=tpu8"
    assert chosen["accelerate"][2] == "engine=accelerate"
    assert chosen["own_files"][1] == "data=custom_csv"
    assert lines["help"] == "python train.py --help"


def test_remarks_report_what_the_line_does_not_show(guide: dict[str, Migration]) -> None:
    remarks = {name: "\n".join(one.remarks) for name, one in guide.items()}
    assert "no Keras engine yet" in remarks["train_tensorflow"]
    assert "--source_prefix: not given" in remarks["train_tensorflow"]
    assert "TPU of the machine" in remarks["tpu_tensorflow"]
    assert f"{FILE}: the format follows from the content" in remarks["own_files"]
    assert "--push_to_hub_model_id: training.hub_model_id now" in remarks["share"]
    for name in ("same_folder", "checkpoint", "share"):
        assert "lacks its backslash" in remarks[name]
    assert "lacks its backslash" not in remarks["train"]
    assert "training.eval_strategy=no" in remarks["train"]
    assert "`accelerate config`" in remarks["accelerate"]


@pytest.mark.parametrize("language", ["ko", "ja"])
def test_the_guide_itself_has_these_commands(language: str) -> None:
    page = SHARED / f"train_with_a_script.{language}.md"
    if not page.is_file():
        pytest.skip("the guide is not beside this checkout")
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    commands = [block.strip() for block in blocks if "run_summarization" in block]
    assert [command.split() for command in commands] == [one.split() for one in GUIDE.values()]
    for command, copy in zip(commands, GUIDE.values(), strict=True):
        ((found,),), ((expected,),) = read_shell(command).calls, read_shell(copy).calls
        assert found.words == expected.words


def test_the_page_shows_what_is_printed(guide: dict[str, Migration]) -> None:
    blocks = re.findall(r"```shell\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    old, new = blocks[::2], blocks[1::2]
    assert [command.strip() for command in old] == [one.strip() for one in GUIDE.values()]
    assert new == [one.line for one in guide.values()]


@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_of_a_page_migrate(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    commands = re.findall(
        r"^summexp migrate((?: --\w+)* (?:\"[^\"]*\"|'[^']*'))", blocks, re.MULTILINE
    )
    assert commands
    for command in commands:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["migrate", *shlex.split(command)])
        assert stopped.value.code == 0
        line = capsys.readouterr().out.rstrip("\n")
        assert all(job.training.do_train for job in jobs_of(line))
        if " -m " in line:
            assert f"```text\n{line}\n```" in text
