"""`peft=lora` from the command line: killed and gone on with, merged, used like any other run."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml
from tests import forked
from tests.integration.test_resume import SMALL, weights_equal
from transformers import AutoModelForSeq2SeqLM

LORA = (*SMALL, "peft=lora", "training.learning_rate=1e-2")


def words(engine: str, folder: Path, *more: str) -> tuple[str, ...]:
    return (*LORA, f"engine={engine}", f"output_dir={folder}", *more)


@pytest.fixture(
    scope="module", params=["trainer", pytest.param("accelerate", marks=pytest.mark.slow)]
)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    place = tmp_path_factory.mktemp(request.param)
    folder = place / request.param
    code, output = forked.run(*words(request.param, folder), log=place / "log", cwd=place)
    assert code == 0, output
    return folder


@pytest.mark.slow
def test_killed_after_a_checkpoint_it_ends_as_if_it_never_was(whole: Path, tmp_path: Path) -> None:
    # The first checkpoint, and one of the last.
    step = 5 if whole.name == "trainer" else 25
    folder = tmp_path / "killed"
    run = words(whole.name, folder, "training.save_total_limit=null")
    process = forked.start(*run, log=tmp_path / "log", cwd=tmp_path)
    deadline = time.monotonic() + 300
    while not (folder / f"checkpoint-{step}" / "manifest.json").exists():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    code, output = forked.run(*run, log=tmp_path / "again.log", cwd=tmp_path)
    assert code == 0, output
    assert re.search(r"resuming from .*checkpoint-(\d+)", output), output
    assert weights_equal(folder, whole)
    adapter = "adapter/adapter_model.safetensors"
    assert (folder / adapter).read_bytes() == (whole / adapter).read_bytes()
    results = [json.loads((one / "all_results.json").read_text()) for one in (folder, whole)]
    assert results[0]["eval_loss"] == results[1]["eval_loss"]


def test_a_finished_run_is_used_like_any_other(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / whole.name
    shutil.copytree(whole, folder)
    record = json.loads((folder / "run.json").read_text())
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert record["model"]["parameters"] == model.num_parameters()
    # Two layers of encoder and of decoder: six attentions, rank 8.
    attention = {"width": 32, "inner": model.config.num_heads * model.config.d_kv}
    attentions = model.config.num_layers + 2 * model.config.num_decoder_layers
    assert record["model"]["trainable"] == 8 * sum(attention.values()) * 2 * attentions
    assert record["model"]["adapted"] == ["q", "v"]
    assert "adapter" in record["files"]
    card = (folder / "README.md").read_text()
    sentence = f"A LoRA adapter of {record['model']['trainable']:,} weights was trained (rank 8, "
    assert sentence in card
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["peft"]["name"] == "lora"

    predict = words(whole.name, folder, "training.do_predict=true")
    code, output = forked.run(*predict, log=tmp_path / "predict.log", cwd=tmp_path)
    assert code == 0, output
    assert "resuming from" not in output
    assert "LoRA" not in output
    assert (folder / "generated_predictions.jsonl").is_file()
    assert json.loads((folder / "run.json").read_text())["model"] == record["model"]
    assert weights_equal(folder, whole)

    again = words(whole.name, folder, "generation.num_beams=2")
    code, output = forked.run(*again, log=tmp_path / "beams.log", cwd=tmp_path)
    assert code == 0, output

    other = words(whole.name, folder, "peft.rank=4")
    code, output = forked.run(*other, log=tmp_path / "other.log", cwd=tmp_path)
    assert code == 2, output
    assert "peft.rank: was 8 in the run" in output

    checkpoint = next(folder.glob("checkpoint-*"))
    elsewhere = (f"model.name_or_path={checkpoint}", "model.init=pretrained")
    code, output = forked.run(*elsewhere, log=tmp_path / "else.log", cwd=tmp_path)
    assert code == 2, output
    assert "whose adapter is not merged" in output
