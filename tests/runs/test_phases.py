"""Whole runs of a toy, in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import in_process
from tests.modeling.toys import config, make
from transformers.utils.logging import warning_once

from summexp.data.shares import document_hash
from summexp.runs.phases import _quiet_upstream

DOCUMENTS = ["rain fell on the road", "snow", "", 'a "quoted" goat', "요금 인상"]


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"document": f"{one} {n}", "summary": f"{one}"} for n in range(3) for one in DOCUMENTS]
    for name, chosen in (("train", rows), ("near", rows[:6]), ("far", rows[7:])):
        lines = "\n".join(map(json.dumps, chosen))
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def run(*words: str) -> Path:
    folder = Path("run").absolute()
    in_process.run("data=custom_json", "debug=tiny", *words, folder=folder)
    return folder


def results(folder: Path) -> dict[str, float]:
    return dict(json.loads((folder / "all_results.json").read_text("utf-8")))


def predictions(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "generated_predictions.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
def test_the_model_with_the_best_generated_summaries_is_kept(engine: str) -> None:
    # All summaries are the same, so that a toy learns to write them in a few steps.
    for name in ("train", "near", "far"):
        rows = map(json.loads, Path(f"{name}.jsonl").read_text("utf-8").splitlines())
        same = [json.dumps({**row, "summary": "snow fell"}) for row in rows]
        Path(f"{name}.jsonl").write_text("\n".join(same), encoding="utf-8")
    folder = run(
        f"engine={engine}",
        "data.train_file=train.jsonl",
        "data.validation_files={near: near.jsonl, far: far.jsonl}",
        "training.load_best_model_at_end=true",
        "training.metric_for_best_model=eval_far_rougeL",
        *("training.eval_strategy=steps", "training.eval_steps=1"),
        *("training.save_strategy=steps", "training.save_steps=1"),
        *("training.save_total_limit=null", "training.max_steps=30"),
        "training.learning_rate=0.01",
        "engine.early_stopping_patience=4",
    )
    state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
    name = "eval_far_rougeL"
    scores = {one["step"]: one[name] for one in state["log_history"] if name in one}
    best = max(scores, key=lambda step: scores[step])
    assert scores[best] > scores[1]
    # Four evaluations in a row gained nothing, those after the best.
    assert (state["global_step"], state["best_global_step"]) == (best + 4, best)
    assert state["best_metric"] == results(folder)[name] == scores[best]
    kept, of_the_best, last = (
        load_file(place / "model.safetensors")
        for place in (folder, folder / f"checkpoint-{best}", folder / f"checkpoint-{best + 4}")
    )
    assert all(torch.equal(kept[name], of_the_best[name]) for name in kept)
    assert not all(torch.equal(kept[name], last[name]) for name in kept)


def test_each_validation_set_has_its_own_scores() -> None:
    folder = run(
        "data.train_file=train.jsonl",
        "data.validation_files={near: near.jsonl, far: far.jsonl}",
    )
    found = results(folder)
    for name in ("loss", "rouge1", "rougeL_low", "gen_len", "runtime", "samples"):
        assert {f"eval_near_{name}", f"eval_far_{name}"} <= found.keys()
        assert f"eval_{name}" not in found
    assert (found["eval_near_samples"], found["eval_far_samples"]) == (5, 6)
    assert found["eval_near_loss"] != found["eval_far_loss"]


@pytest.mark.parametrize("generate", ["true", "false"])
@pytest.mark.parametrize("ending", ["txt", "csv", "jsonl"])
def test_documents_alone_are_summarized_each_in_its_place(ending: str, generate: str) -> None:
    """An empty one too; whether evaluation generates is another question."""
    content = {
        "txt": "\n".join(DOCUMENTS),
        "csv": "document\n" + "\n".join('"' + one.replace('"', '""') + '"' for one in DOCUMENTS),
        "jsonl": "\n".join(json.dumps({"document": one}) for one in DOCUMENTS),
    }
    Path(f"test.{ending}").write_text(content[ending], encoding="utf-8")
    folder = run(
        "training.do_train=false",
        "training.do_eval=false",
        "training.do_predict=true",
        f"training.predict_with_generate={generate}",
        f"data.test_file=test.{ending}",
    )
    found = predictions(folder)
    assert [line["id"] for line in found] == ["0", "1", "2", "3", "4"]
    keys = [{"id", "prediction"} | ({"skipped"} if not one else set()) for one in DOCUMENTS]
    assert [line.keys() for line in found] == keys
    assert (found[2]["prediction"], found[2]["skipped"]) == ("", "empty document")
    assert results(folder)["predict_samples"] == 5
    assert results(folder)["predict_skipped"] == 1
    assert not [name for name in results(folder) if "rouge" in name or "loss" in name]


def test_predictions_stay_beside_their_documents_whatever_is_missing() -> None:
    rows = [
        {"document": "rain\nfell", "summary": "rain", "id": "a"},
        {"document": "", "summary": "nothing", "id": "b"},
        {"document": "snow", "summary": " ", "id": "c"},
        {"document": "snow", "summary": None, "id": "d"},
        {"document": "goat", "summary": "one\ntwo\u2028three", "id": "e"},
    ]
    Path("test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    only = ("training.do_train=false", "training.do_eval=false", "training.do_predict=true")
    found = predictions(run(*only, "data.test_file=test.jsonl"))
    assert [(line["id"], line.get("reference")) for line in found] == [
        ("a", "rain"),
        ("b", "nothing"),
        ("c", None),
        ("d", None),
        ("e", "one\ntwo\u2028three"),
    ]
    assert ["rougeL" in line for line in found] == [True, False, False, False, True]
    assert [line.get("skipped") for line in found] == [None, "empty document", None, None, None]
    # The same document gives the same summary, wherever it stands.
    assert found[2]["prediction"] == found[3]["prediction"]


BLANK = ["", " \t\r\n", "\u3000", "\u200b\ufeff", "\u3164", None]
"""Cells in which a reader sees nothing, the last two a Hangul filler and none at all."""


@pytest.mark.parametrize(
    "words",
    [
        ("engine=trainer",),
        ("engine=accelerate",),
        ("data.long_documents=chunk", "data.max_source_length=24"),
        ("model=gpt2",),
    ],
    ids=["trainer", "accelerate", "chunk", "gpt2"],
)
def test_nothing_is_made_up_for_an_empty_document(
    words: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    long = "rain fell on the road. " * 9
    rows = [{"id": "long", "document": long, "summary": "rain"}]
    rows += [{"id": str(n), "document": one, "summary": "x"} for n, one in enumerate(BLANK)]
    rows += [{"id": "missing", "summary": "x"}, {"id": "short", "document": "snow"}]
    Path("test.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    files = ("data.train_file=train.jsonl", "data.test_file=test.jsonl")
    whole = ("training.do_eval=false", "training.do_predict=true", "data.max_predict_samples=null")
    folder = run(*files, *whole, *words)
    found = predictions(folder)
    assert [line["id"] for line in found] == [row["id"] for row in rows]
    skipped = ["skipped" in line for line in found]
    assert skipped == [False, *[True] * 7, False]
    for line in found[1:8]:
        assert line == {
            "id": line["id"],
            "prediction": "",
            "skipped": "empty document",
            "reference": "x",
        }
    scores = results(folder)
    counts = {name: scores[f"predict_{name}"] for name in ("samples", "skipped", "scored")}
    assert counts == {"samples": 9, "skipped": 7, "scored": 1}
    assert "test: skipping 7 of 9 rows (empty document: 7)" in caplog.text
    assert "9 rows, 1 of them scored, 7 skipped" in (folder / "report.md").read_text("utf-8")
    assert "9 rows, 1 of them scored, 7 skipped" in (folder / "README.md").read_text("utf-8")


def test_one_file_is_trained_on_evaluated_and_predicted() -> None:
    rows = [{"document": f"rain fell on road {n}", "summary": f"rain {n}"} for n in range(40)]
    Path("train.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shares = ("data.validation_share=0.2", "data.test_share=0.2", "training.do_predict=true")
    whole = [f"data.max_{split}_samples=null" for split in ("train", "eval", "predict")]
    folder = run("data.train_file=train.jsonl", *shares, *whole)
    record = json.loads((folder / "run.json").read_text("utf-8"))
    splits = record["data"]["health"]["splits"]
    counts = {name: split["rows"] for name, split in splits.items()}
    assert sum(counts.values()) == 40
    assert min(counts.values()) > 2
    found = results(folder)
    assert [found[f"{name}_samples"] for name in ("train", "eval", "predict")] == [
        counts[name] for name in ("train", "validation", "test")
    ]
    predicted = [line["reference"] for line in predictions(folder)]
    assert predicted == [row["summary"] for row in rows if document_hash(row["document"]) < 0.2]
    card = (folder / "README.md").read_text("utf-8")
    assert "train.jsonl (validation_share=0.2)" in card
    assert "train.jsonl (test_share=0.2)" in card


@pytest.mark.parametrize("share", ["validation_share", "test_share"])
def test_a_share_of_a_dataset_that_synthetic_rows_stand_in_for(share: str) -> None:
    words = ("data=xsum", f"data.{share}=0.1", "training.do_predict=true")
    folder = Path("run").absolute()
    in_process.run("debug=tiny", *words, folder=folder)
    assert results(folder)["predict_samples"] == results(folder)["eval_samples"] == 8


def test_upstream_asks_for_no_mask_in_the_midst_of_generating(
    caplog: pytest.LogCaptureFixture,
) -> None:
    _quiet_upstream()
    warning_once.cache_clear()
    model = make(config("gpt2")).model.transformer
    end = torch.tensor([[5], [model.config.eos_token_id]])
    model.config.pad_token_id = model.config.eos_token_id
    model.warn_if_padding_and_no_attention_mask(end, None)
    assert "attention_mask" not in caplog.text
