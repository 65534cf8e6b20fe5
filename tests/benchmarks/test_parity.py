"""The old script beside `experiment=hf_parity`.

PARITY_OLD_SCRIPT names a run_summarization.py with rouge.py beside it, PARITY_NLTK_DATA a folder
with tokenizers/punkt_tab; without them the two programs are not run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "parity"
SCRIPT = os.environ.get("PARITY_OLD_SCRIPT")


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return __import__("comparison")


def outcome(comparison: Any) -> Any:
    scores = {f"{kind}_{name}": 1.5 for kind in ("eval", "predict") for name in comparison.SCORES}
    counts = {"train_loss": 2.5, "train_samples": 8, "epoch": 2.0, "eval_samples": 3}
    return comparison.Outcome(
        steps=[{"batch": {"labels": [[1, 2]]}, "loss": 2.25}],
        generated=[{"source": [[1]], "tokens": [[2]]}],
        log=[{"loss": 2.25, "grad_norm": 0.5, "learning_rate": 0.1}, scores, scores],
        results={**scores, **counts, "predict_samples": 3},
        predictions="one\ntwo",
    )


def unequal(comparison: Any, old: Any, new: Any) -> list[str]:
    return [line.what for line in comparison.compare(old, new) if not line.is_fine]


def test_the_same_is_equal(comparison: Any) -> None:
    old = outcome(comparison)
    new = replace(old, results={**old.results, "eval_loss": 1.500004, "predict_samples": 5})
    lines = list(comparison.compare(old, new))
    assert unequal(comparison, old, new) == []
    (other,) = [line for line in lines if not line.is_equal]
    assert other.cells.startswith("| predict_samples | 3 | 5 | no, on purpose: rows without")
    assert "| eval_loss | 1.5000 | 1.5000 | yes |" in [line.cells for line in lines]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"steps": [{"batch": {"labels": [[1, 3]]}, "loss": 2.25}]}, "training batches"),
        ({"steps": [{"batch": {"labels": [[1, 2]]}, "loss": 2.2500001}]}, "loss of each step, all"),
        ({"steps": []}, "training batches"),
        ({"generated": [{"source": [[1]], "tokens": [[3]]}]}, "tokens generated"),
        ({"predictions": "two\none"}, "predicted texts"),
        ({"predictions": "one"}, "predicted texts"),
    ],
)
def test_what_is_other_is_reported(comparison: Any, change: dict[str, Any], what: str) -> None:
    old = outcome(comparison)
    assert any(name.startswith(what) for name in unequal(comparison, old, replace(old, **change)))


@pytest.mark.parametrize("name", ["train_loss", "eval_rougeL", "predict_gen_len", "eval_samples"])
def test_numbers_are_equal_to_four_digits(comparison: Any, name: str) -> None:
    old = outcome(comparison)
    other = replace(old, results={**old.results, name: old.results[name] + 0.0002})
    assert unequal(comparison, old, other) == [name]
    absent = {key: value for key, value in old.results.items() if key != name}
    assert unequal(comparison, old, replace(old, results=absent)) == [name]


def test_predictions_are_those_of_the_scored_rows(comparison: Any, tmp_path: Path) -> None:
    rows = [
        {"prediction": "a .", "reference": "r", "rouge1": 0.0},
        {"prediction": "no"},
        {"prediction": "of nothing", "reference": "r"},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "generated_predictions.jsonl").write_text(text)
    (tmp_path / "trainer_state.json").write_text('{"log_history": []}')
    (tmp_path / "all_results.json").write_text("{}")
    kinds = [{"kind": kind} for kind in ("generated", "step", "generated")]
    (tmp_path / "record").write_text("\n".join(map(json.dumps, kinds)))
    read = comparison.new_outcome(tmp_path, tmp_path / "record", lambda one: one.replace(" .", "."))
    assert read.predictions == "a."
    assert (len(read.steps), len(read.generated)) == (1, 1)


def test_what_is_missing_is_logged(tmp_path: Path) -> None:
    script = tmp_path / "run_summarization.py"
    found = subprocess.run(
        [sys.executable, str(BENCHMARK), "--old-script", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (2, "")
    assert f"there is no file {script}: --old-script wants" in found.stderr
    assert "--rouge wants rouge.py" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
@pytest.mark.skipif(SCRIPT is None, reason="PARITY_OLD_SCRIPT names no run_summarization.py")
@pytest.mark.parametrize("model", ["T5", "BART"])
def test_the_old_script_has_the_same_numbers(model: str) -> None:
    assert SCRIPT is not None
    words = [sys.executable, str(BENCHMARK), "--old-script", SCRIPT, "--models", model]
    if "PARITY_NLTK_DATA" in os.environ:
        words += ["--nltk-data", os.environ["PARITY_NLTK_DATA"]]
    found = subprocess.run(words, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.endswith("Equal wherever it has to be: yes.\n")
