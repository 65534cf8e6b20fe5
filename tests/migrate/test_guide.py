"""Every command of the guide migrates, composes, and says the same settings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.composed import composed, value_at
from tests.migrate.guide import GUIDE

from summexp import cli
from summexp.migrate.command import migrate

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
SAYS: dict[str, dict[str, Any]] = {
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


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/you")
    # The one path of the guide that has to be there.
    Path("path_to_specific_checkpoint").mkdir()


def test_the_copy_is_whole() -> None:
    assert {*SAYS, "help"} == set(GUIDE)


@pytest.mark.parametrize("name", SAYS)
def test_command_says_the_same(name: str) -> None:
    config = composed(migrate(GUIDE[name]).line)
    said = {key: value_at(config, key) for key in SAYS[name]}
    assert said == SAYS[name]


def test_files_are_chosen_where_they_say_the_same() -> None:
    lines = {name: migrate(command).line for name, command in GUIDE.items()}
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


def test_remarks_say_what_cannot_be_seen() -> None:
    remarks = {name: "\n".join(migrate(command).remarks) for name, command in GUIDE.items()}
    assert "no Keras engine yet" in remarks["train_tensorflow"]
    assert "--source_prefix: was not given" in remarks["train_tensorflow"]
    assert "TPU of the machine" in remarks["tpu_tensorflow"]
    assert f"{FILE}: its ending names no format" in remarks["own_files"]
    assert "--push_to_hub_model_id: training.hub_model_id now" in remarks["share"]
    for name in ("same_folder", "checkpoint", "share"):
        assert "lacks its backslash" in remarks[name]
    assert "lacks its backslash" not in remarks["train"]
    assert "training.eval_strategy=no" in remarks["train"]
    assert "`accelerate config`" in remarks["accelerate"]


@pytest.mark.parametrize("language", ["ko", "ja"])
def test_the_guide_itself_has_these_commands(language: str) -> None:
    guide = SHARED / f"train_with_a_script.{language}.md"
    if not guide.is_file():
        pytest.skip("the guide is not beside this checkout")
    blocks = re.findall(r"```bash\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    commands = [block.strip() for block in blocks if "run_summarization" in block]
    assert [command.split() for command in commands] == [one.split() for one in GUIDE.values()]
    for command in commands:
        assert migrate(command).line


def test_the_page_shows_what_is_printed() -> None:
    blocks = re.findall(r"```shell\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    old, new = blocks[::2], blocks[1::2]
    assert [command.strip() for command in old] == [one.strip() for one in GUIDE.values()]
    assert new == [migrate(command).line for command in old]


@pytest.mark.parametrize("page", [PAGE, ROOT / "README.md"], ids=lambda page: page.name)
def test_commands_of_a_page_migrate(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    lines = [line for line in blocks.splitlines() if line.startswith('summexp migrate "')]
    assert lines
    for line in lines:
        with pytest.raises(SystemExit) as stopped:
            cli.main(shlex.split(line)[1:])
        assert stopped.value.code == 0
        assert composed(capsys.readouterr().out.rstrip("\n")).training.do_train
