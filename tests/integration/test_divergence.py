"""What is left of a run that diverged, or whose model had diverged before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests import forked
from tests.engines.test_divergence import strict_json


def run(folder: Path, *words: str) -> tuple[int, str]:
    code, output = forked.run("debug=tiny", *words, log=folder / "log", cwd=folder)
    assert "Traceback" not in output
    return code, output


@pytest.mark.parametrize(
    "words",
    [
        ("engine=trainer", "hardware=cpu"),
        pytest.param(("engine=accelerate", "hardware=ddp2_cpu"), marks=pytest.mark.slow),
    ],
)
def test_a_run_that_diverged_is_no_success(words: tuple[str, ...], tmp_path: Path) -> None:
    code, output = run(
        tmp_path,
        *words,
        *("output_dir=run", "training.learning_rate=1e30", "training.max_steps=12"),
        *("training.do_eval=false", "training.eval_strategy=no", "training.save_strategy=steps"),
        *("training.save_steps=1", "training.logging_steps=1"),
    )
    assert code == 1
    folder = tmp_path / "run"
    record = strict_json(folder / "run.json")
    assert record["status"] == "failed"
    assert "training.learning_rate" in record["reason"]
    assert record["reason"] in output
    assert "train" not in record["phases"]
    assert not (folder / "README.md").exists()
    assert not (folder / "all_results.json").exists()
    assert not (folder / "model.safetensors").exists()
    for path in folder.rglob("*.json"):
        strict_json(path)
    for path in folder.glob("checkpoint-*/model.safetensors"):
        assert all(weight.isfinite().all() for weight in load_file(path).values())


def test_a_model_with_weights_that_are_not_finite_is_not_evaluated(tmp_path: Path) -> None:
    code, _ = run(tmp_path, "hardware=cpu", "output_dir=run")
    assert code == 0
    path = tmp_path / "run" / "model.safetensors"
    weights = load_file(path)
    name = next(iter(weights))
    weights[name][0] = torch.inf
    save_file(weights, path, metadata={"format": "pt"})
    before = (tmp_path / "run" / "eval_results.json").read_bytes()
    code, output = run(
        tmp_path,
        *("hardware=cpu", "output_dir=run", "training.do_predict=true"),
    )
    assert code == 2
    assert f"weights that are not finite (NaN or infinite): {name}" in output
    assert (tmp_path / "run" / "eval_results.json").read_bytes() == before
    assert not (tmp_path / "run" / "generated_predictions.jsonl").exists()
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "failed"
