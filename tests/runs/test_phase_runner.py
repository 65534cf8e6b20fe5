"""Whole runs of a tiny model, in this process."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tests import in_process
from tests.metrics.evaluate_modules import write_metric
from tests.modeling.tiny_models import config, make
from transformers.utils.logging import warning_once

from summexp.data.shares import document_hash
from summexp.metrics.score import Score, flat
from summexp.run_folder.deletion import clear
from summexp.runs.phase_runner import _quiet_upstream

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
    # All summaries are the same, so that a tiny model learns to write them in a few steps.
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


def test_scores_are_records_whatever_a_set_is_called() -> None:
    names = ["lead1", "rouge"]
    sets = ", ".join(f"{name}: near.jsonl" for name in names)
    folder = run(
        *("data.train_file=train.jsonl", "data.test_file=far.jsonl", "training.do_predict=true"),
        f"data.validation_files={{{sets}}}",
    )
    record = json.loads((folder / "run.json").read_text("utf-8"))
    scores = [Score(**one) for one in record["scores"]]
    prefixes = [*(f"eval_{name}" for name in names), "predict"]
    assert list(record["evaluated"]) == list(dict.fromkeys(one.set for one in scores)) == prefixes
    # Rows without a summary are dropped from the validation sets, and predicted all the same.
    assert record["evaluated"]["eval_lead1"] == {"samples": 5}
    assert record["evaluated"]["predict"] == {"samples": 8, "scored": 6}
    assert flat(scores).items() <= results(folder).items()
    one = next(one for one in scores if (one.set, one.name) == ("eval_lead1", "rougeL"))
    assert (one.metric, one.label, one.baseline_name) == ("rouge", "ROUGE-L", "lead1")
    report = (folder / "report.md").read_text("utf-8")
    titles = [f"### Validation: {name}" for name in names]
    assert re.findall("^### (?:Validation|Test).*", report, re.MULTILINE) == [*titles, "### Test"]
    assert report.count("| ROUGE-L |") == len(prefixes)


def test_a_metric_of_the_evaluate_library_is_one_of_the_metrics() -> None:
    write_metric(Path("coverage"))
    folder = run(
        *("data.train_file=train.jsonl", "data.test_file=far.jsonl", "training.do_predict=true"),
        "data.validation_file=near.jsonl",
        "metric.names=[rouge,evaluate:./coverage]",
        *("training.metric_for_best_model=coverage_rows", "training.greater_is_better=true"),
        "training.load_best_model_at_end=true",
    )
    found = results(folder)
    assert {"eval_coverage_score", "predict_coverage_rows_high"} <= found.keys()
    state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
    assert state["best_metric"] == found["eval_coverage_rows"]
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert "rouge+evaluate:coverage|" in record["metric"]
    assert [line["coverage_rows"] for line in predictions(folder) if "rougeL" in line]
    card = (folder / "README.md").read_text("utf-8")
    assert "- type: coverage\n" in card
    assert "(coverage: on a scale of its own)" in card
    assert "| coverage score |" in (folder / "report.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("ending", "generate"), [("txt", "true"), ("csv", "false"), ("jsonl", "true")]
)
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
def test_an_empty_document_has_no_prediction(
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


def test_shares_of_a_dataset_that_synthetic_rows_replace() -> None:
    shares = ("data.validation_share=0.1", "data.test_share=0.1")
    words = ("data=xsum", *shares, "training.do_predict=true")
    folder = Path("run").absolute()
    in_process.run("debug=tiny", *words, folder=folder)
    assert results(folder)["predict_samples"] == results(folder)["eval_samples"] == 8


NEW = [
    {"번호": "07", "본문": 'rain\nfell, "hard"', "extra": "=1+1", "요약": "rain"},
    {"번호": "08", "본문": "\u3000", "extra": "", "요약": ""},
    {"번호": "09", "본문": "snow", "extra": "x", "요약": ""},
]


@pytest.fixture
def new_csv() -> None:
    with Path("new.csv").open("w", encoding="cp949", newline="") as file:
        writer = csv.DictWriter(file, list(NEW[0]))
        writer.writeheader()
        writer.writerows(NEW)


ONLY = ("training.do_train=false", "training.do_eval=false", "training.do_predict=true")
KOREAN = ("data.text_column=본문", "data.summary_column=요약", "data.id_column=번호")


@pytest.mark.usefixtures("new_csv")
def test_a_csv_of_predictions_has_the_columns_of_the_input() -> None:
    folder = run(*ONLY, *KOREAN, "data.test_file=new.csv", "data.predictions_format=csv")
    text = (folder / "generated_predictions.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbf")
    found = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"), newline="")))
    assert [{name: row[name] for name in NEW[0]} for row in found] == NEW
    assert list(found[0])[:6] == ["번호", "본문", "extra", "요약", "prediction", "rouge1"]
    assert [bool(row["rougeL"]) for row in found] == [True, False, False]
    assert [row["skipped"] for row in found] == ["", "empty document", ""]
    assert not (folder / "generated_predictions.jsonl").exists()
    record = json.loads((folder / "run.json").read_text("utf-8"))
    assert "generated_predictions.csv" in record["files"]


def test_a_parquet_file_of_predictions_keeps_types_and_the_share() -> None:
    rows = [{"n": n, "document": f"rain {n}", "summary": "rain"} for n in range(40)]
    pq.write_table(pa.Table.from_pylist(rows), "one.parquet")
    words = ("data.train_file=one.parquet", "data.test_share=0.3", "data.max_predict_samples=5")
    parquet = ("data.predictions_format=parquet", "training.do_eval=false")
    folder = run(*words, *parquet, "training.do_predict=true")
    table = pq.read_table(folder / "generated_predictions.parquet")
    held_out = [row["n"] for row in rows if document_hash(str(row["document"])) < 0.3]
    assert table["n"].to_pylist() == held_out[:5]
    assert table["n"].type == pa.int64()
    assert {"prediction", "rougeL", "skipped"} <= set(table.column_names)


@pytest.mark.parametrize("source", ["folder", "news_briefs", "stream"])
def test_every_kind_of_source_gives_its_columns(source: str) -> None:
    Path("corpus").mkdir()
    rows = [{"document": f"rain {n}", "summary": "rain", "extra": [n]} for n in range(9)]
    for split in ("train", "test"):
        Path(f"corpus/{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    name = "news_briefs" if source == "news_briefs" else "corpus"
    words = ["data=custom_hub", f"data.name={name}", "data.predictions_format=csv", *ONLY]
    words += ["data.streaming=true", "training.max_steps=2"] if source == "stream" else []
    folder = Path("run").absolute()
    in_process.run("debug=tiny", *words, folder=folder)
    with (folder / "generated_predictions.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 8
    if source == "news_briefs":
        assert list(found[0])[:4] == ["id", "document", "summary", "prediction"]
    else:
        assert [row["extra"] for row in found] == [f"[{n}]" for n in range(8)]


@pytest.mark.usefixtures("new_csv")
def test_predictions_of_another_input_are_kept(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("data.train_file=train.jsonl", "data.validation_file=near.jsonl")
    folder = run(*files, "data.test_file=far.jsonl", "training.do_predict=true")
    first = (folder / "generated_predictions.jsonl").read_text("utf-8")
    Path("후속.jsonl").write_text(json.dumps({"document": "요금이 오른다"}), "utf-8")
    capsys.readouterr()
    caplog.set_level(logging.INFO)
    run(*files, "data.test_file=후속.jsonl", "training.do_predict=true")
    assert (folder / "predictions" / "far.jsonl").read_text("utf-8") == first
    assert "moved the predictions of far to predictions/far.jsonl" in caplog.text
    assert len(predictions(folder)) == 1
    # What was predicted is shown, and not the rows of the evaluation before.
    shown = capsys.readouterr().out
    assert "Predictions  1 row of 후속" in shown
    assert "요금이 오른다" in shown
    assert "generated_predictions.jsonl" in shown
    report = (folder / "report.html").read_text("utf-8")
    assert '<a href="generated_predictions.jsonl">' in report
    assert "요금이 오른다" in report
    # The same input in another format: what was there stays, beside a second of that name.
    again = ("data.test_file=far.jsonl", "training.do_predict=true")
    run(*files, *again, "data.predictions_format=csv")
    run(*files, *again)
    assert sorted(path.name for path in (folder / "predictions").iterdir()) == [
        *("far.csv", "far.jsonl", "후속.jsonl"),
    ]
    # The same again in the same format is replaced, and training on moves what there is.
    run(*files, *again, "generation.num_beams=2")
    assert not (folder / "predictions" / "far-2.jsonl").exists()
    run(*files, "training.max_steps=3")
    assert (folder / "predictions" / "far-2.jsonl").is_file()
    assert not (folder / "generated_predictions.jsonl").exists()
    Path("run/predictions/mine.jsonl").write_text("mine")
    clear(folder)
    assert [path.name for path in (folder / "predictions").iterdir()] == ["mine.jsonl"]


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
