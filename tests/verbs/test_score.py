"""`summexp score` on a command line: the numbers of a run, and what it says to bad input."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rouge_score.rouge_scorer import RougeScorer
from tests.in_process import run as run_job

from summexp import cli
from summexp.scoring.systems import names_of

KOREAN = [
    ("비가 왔다. 강이 넘쳤다.", "in 마을이 물에 잠겼다.", ["in 마을이 잠겼다.", "강이 넘쳤다."]),
    ("", "봄이 왔다.", []),
    ("눈이 왔다. 길이 막혔다.", "", []),
    ("개가 짖었다. 고양이가 도망쳤다.", "A in 고양이가 도망쳤다.", []),
    ("해가 떴다. 새가 울었다.", "봄이 왔다. 새가 왔다.", ["A in 봄.", "새가 울었다.", "in in"]),
]
"""Document, summary and further references of rows to predict."""


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two run folders: `english`, of the bundled corpus, and `korean`, which uses its model."""
    home = tmp_path_factory.mktemp("runs")
    words = ("training.do_eval=false", "training.do_predict=true", "generation.num_beams=1")
    train = ("training.max_steps=20", "data.max_predict_samples=12")
    run_job(*words, *train, folder=home / "english")
    rows = [
        {"key": f"행{number}", "document": document, "summary": summary, "references": more}
        for number, (document, summary, more) in enumerate(KOREAN)
    ]
    write_lines(home / "test.jsonl", rows)
    run_job(
        *(*words, "training.do_train=false", f"model.name_or_path={home / 'english'}"),
        *("model.init=pretrained", "data=custom_json", f"data.test_file={home / 'test.jsonl'}"),
        *("data.id_column=key", "data.predictions_format=csv"),
        *("metric=rouge_text", "metric.bootstrap_samples=200", "metric.confidence=0.9"),
        folder=home / "korean",
    )
    return home


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def score(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["score", *map(str, words)])
    return stopped.value.code, *capsys.readouterr()


def scored(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    code, out, err = score(capsys, *words, "--json")
    assert code == 0, err
    content: dict[str, Any] = json.loads(out)
    return content


def rejected(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    code, out, err = score(capsys, *words)
    assert (code, out) == (2, "")
    return err


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def check_equals_the_run(found: dict[str, Any], folder: Path, *, baseline: bool) -> None:
    """Assert that scores, intervals, baselines and signature are those of the run."""
    record = content_of(folder / "run.json")
    theirs = [one for one in record["scores"] if one["name"] not in ("loss", "gen_len")]
    assert found["signature"] == record["metric"]
    assert found["rows"] == record["evaluated"]["predict"]
    (system,) = found["systems"]
    if not baseline:
        theirs = [one | {"baseline": None, "baseline_name": None} for one in theirs]
    assert system["scores"] == theirs
    results = content_of(folder / "predict_results.json")
    named = {f"predict_{one['name']}" for one in theirs}
    assert named < system["metrics"].keys()
    assert system["metrics"] == {key: results[key] for key in system["metrics"]}


def test_the_predictions_of_a_run_have_its_scores(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = runs / "english" / "generated_predictions.jsonl"
    found = scored(capsys, file)
    check_equals_the_run(found, runs / "english", baseline=False)
    assert found["systems"][0]["metrics"]["predict_rouge1"] > 1
    assert scored(capsys, runs / "english")["systems"][0]["scores"] == found["systems"][0]["scores"]


def test_they_have_them_elsewhere_too_with_the_words_of_the_run(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(runs / "english" / "generated_predictions.jsonl", "p.jsonl")
    check_equals_the_run(
        scored(capsys, "p.jsonl", "data=news_briefs"), runs / "english", baseline=False
    )
    assert "|lang:en(script)|" in scored(capsys, "p.jsonl")["signature"]


def test_several_references_skipped_rows_and_baselines_are_as_in_a_run(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs / "korean"
    found = scored(capsys, folder, "--documents", runs / "test.jsonl")
    check_equals_the_run(found, folder, baseline=True)
    assert found["rows"] == {"samples": 5, "skipped": 1, "scored": 3}
    assert "|lang:ko(script)|tok:kiwi" in found["signature"]
    assert "|boot:200|refs:best|conf:0.9|" in found["signature"]
    metrics = found["systems"][0]["metrics"]
    assert metrics["predict_length_ratio"] > 0
    assert metrics["predict_lead1_rouge1"] > 0


def test_references_of_the_input_give_the_same(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pair the rows by IDs, in another order; the columns are those of the run."""
    source = runs / "korean" / "generated_predictions.csv"
    with source.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    table = [
        {"key": row["key"], "made": row["prediction"], "skipped": row["skipped"]} for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(table[::-1]), "made.parquet")
    words = ("metric=rouge_text", "metric.bootstrap_samples=200", "metric.confidence=0.9")
    found = scored(
        capsys,
        *("made.parquet", runs / "test.jsonl", "--documents", runs / "test.jsonl"),
        *("--column", "made", "data.id_column=key", *words),
    )
    check_equals_the_run(found, runs / "korean", baseline=True)


def test_rouge_of_two_text_files_is_rouge_score(capsys: pytest.CaptureFixture[str]) -> None:
    made = ["the cat sat on the mat, again", "it rained a lot today"]
    references = ["a cat sat on a mat", "it rained"]
    Path("system.hypo").write_text("\n".join(made) + "\n", encoding="utf-8")
    Path("gold.txt").write_text("\n".join(references), encoding="utf-8")
    metrics = scored(capsys, "system.hypo", "gold.txt")["systems"][0]["metrics"]
    for name in ("rouge1", "rouge2", "rougeL"):
        scorer = RougeScorer([name], use_stemmer=True)
        pairs = zip(references, made, strict=True)
        values = [100 * scorer.score(*pair)[name].fmeasure for pair in pairs]
        assert metrics[f"predict_{name}"] == pytest.approx(sum(values) / 2, abs=1e-12)


def test_systems_side_by_side_have_the_numbers_of_each_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = [{"id": "a", "reference": "비가 왔다"}, {"id": "b", "reference": "눈이 왔다"}]
    write_lines(tmp_path / "gold.jsonl", gold)
    write_lines(
        tmp_path / "하나.jsonl", [{"id": "b", "output": "눈이 왔다"}, {"id": "a", "output": ""}]
    )
    Path("둘.csv").write_text("summary,id\n비가 왔다,a\n비가 왔다,b\n", encoding="utf-8")
    Path("three.json").write_text(json.dumps([{"prediction": "비가"}] * 2), encoding="utf-8")
    files = ["하나.jsonl", "둘.csv", "three.json"]
    found = scored(capsys, *files, "--references", "gold.jsonl")
    assert [one["name"] for one in found["systems"]] == files
    assert [one["column"] for one in found["systems"]] == ["output", "summary", "prediction"]
    for one in found["systems"]:
        alone = scored(capsys, one["file"], "gold.jsonl")["systems"][0]
        assert alone == one
    # 비|가|오|었|다 and 눈|이|오|었|다 share three of five words.
    assert [one["metrics"]["predict_rouge1"] for one in found["systems"]][:2] == [50.0, 80.0]
    code, out, err = score(capsys, *files, "--references", "gold.jsonl")
    assert code == 0
    assert "language: ko" in err
    lines = out.splitlines()
    assert lines[0] == "3 systems, 2 rows"
    assert [line.split()[-5:-4] for line in lines[2:4]] == [["하나.jsonl"], ["둘.csv"]]
    assert lines[-1] == f"signature  {found['signature']}"
    assert max(map(cell_len, lines[:-1])) <= 80
    assert "\x1b" not in out


def test_a_table_of_one_system_is_that_of_a_run(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Names that fit into a line.
    monkeypatch.chdir(runs)
    _, out, err = score(capsys, "korean", "--documents", "test.jsonl")
    lines = out.splitlines()
    assert lines[0] == "korean  5 rows, 3 of them scored, 1 skipped"
    assert lines[1].split() == ["score", "value", "90", "%", "interval", "lead-1"]
    assert lines[2].startswith(" ROUGE-1 ")
    assert any("lead-1 baseline (ROUGE-L " in line for line in lines)
    assert err.startswith("inherited from korean/config.yaml: ")
    assert " metric (" in err


def test_a_row_may_have_a_reference_in_each_of_several_files(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("made.txt").write_text("a cat sat\nit rained\n\n", encoding="utf-8")
    Path("1.txt").write_text("dogs\nit rained\nnothing\n", encoding="utf-8")
    Path("2.txt").write_text("a cat sat\nit rained\n\n", encoding="utf-8")
    words = ("made.txt", "--references", "1.txt", "--references=2.txt", "--per-row", "rows.jsonl")
    found = scored(capsys, *words)
    assert "|refs:best|" in found["signature"]
    lines = Path("rows.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["rouge1"] for row in rows] == [100.0, 100.0, 0.0]
    assert rows[0]["references"] == ["dogs", "a cat sat"]
    assert rows[1]["reference"] == "it rained"
    assert "references" not in rows[1]
    assert found["systems"][0]["metrics"]["predict_rouge1"] == pytest.approx(200 / 3)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_rows_of_several_systems(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("gold.txt").write_text("a cat\n\nit rained\n", encoding="utf-8")
    for name, text in (("x", "a cat\nb\nc\n"), ("y", "d\ne\nit rained\n")):
        Path(name, "out.txt").parent.mkdir()
        Path(name, "out.txt").write_text(text, encoding="utf-8")
    file = f"rows.{ending}"
    words = ("x/out.txt", "y/out.txt", "--references", "gold.txt", "--per-row", file)
    assert scored(capsys, *words)["rows"] == {"samples": 3, "scored": 2}
    rows: list[dict[str, Any]]
    if ending == "parquet":
        rows = pq.read_table(file).to_pylist()
    elif ending == "csv":
        with Path(file).open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.DictReader(opened))
    else:
        rows = [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]
    assert [(row["system"], row["id"], row["prediction"]) for row in rows] == [
        *(("x", "0", "a cat"), ("x", "1", "b"), ("x", "2", "c")),
        *(("y", "0", "d"), ("y", "1", "e"), ("y", "2", "it rained")),
    ]
    values = [row.get("rougeL") for row in rows]
    assert [None if value in (None, "") else float(value) for value in values] == [
        *(100.0, None, 0.0),
        *(0.0, None, 100.0),
    ]


def test_bad_input_is_reported_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "gold.jsonl", [{"id": "a", "target": "x"}, {"id": "b", "target": "y"}])
    write_lines(tmp_path / "made.jsonl", [{"id": "a", "prediction": "x"}])
    write_lines(tmp_path / "twice.jsonl", [{"id": "a", "prediction": "x"}] * 2)
    write_lines(tmp_path / "both.jsonl", [{"prediction": "x", "reference": "x"}] * 2)
    Path("three.txt").write_text("1\n2\n3\n", encoding="utf-8")
    Path("two.txt").write_text("1\n2\n", encoding="utf-8")
    Path("blank.txt").write_text("\n\n\n", encoding="utf-8")
    messages = {
        (): "there is no file to score",
        ("mode.jsonl", "gold.jsonl"): "Did you mean 'made.jsonl'?",
        ("made.jsonl",): "made.jsonl has no references beside its predictions",
        ("made.jsonl", "gold.jsonl"): "lacks 1 of the 2 ids of gold.jsonl (b)",
        ("twice.jsonl", "gold.jsonl"): "twice.jsonl: the id 'a' is there 2 times",
        ("three.txt", "gold.jsonl"): "three.txt has 3 rows, gold.jsonl 2, and three.txt has no ids",
        ("three.txt", "two.txt"): "three.txt has 3 rows, two.txt 2, and neither has ids",
        ("three.txt", "blank.txt"): "nothing to score: no row of blank.txt has a reference",
        ("two.txt", "three.txt", "gold.jsonl"): "summexp score two.txt three.txt --references gold",
        ("both.jsonl", "both.jsonl"): "is the second another system",
        ("both.jsonl", "both.jsonl", "--references", "gold.jsonl"): "both.jsonl is named twice",
        ("both.jsonl", "--colum", "x"): "Did you mean '--column'?",
        ("both.jsonl", "--column"): "--column needs a value",
        ("both.jsonl", "--column", "predicion"): "Did you mean 'prediction'?",
        ("both.jsonl", "data.summary_column=referense"): "Did you mean 'reference'?",
        ("both.jsonl", "metric.nmes=[rouge]"): "Did you mean 'metric.names'?",
        ("both.jsonl", "metric.references=labels"): "set metric.references=original",
        ("both.jsonl", "metric\uff1drouge"): "Did you mean 'metric=rouge'?",
        ("both.jsonl", "metric.names=[novelty]"): "nothing to score: without documents there is no",
        ("both.jsonl", "--json=true"): "--json takes no value",
        (".", "gold.jsonl"): ". is a folder without generated_predictions.jsonl",
        ("both.jsonl", "--per-row", "rows.xlsx"): "Write --per-row rows.jsonl",
        ("both.jsonl", "--per-row", "both.jsonl"): "both.jsonl is one of the files to score",
        ("both.jsonl", "--per-row", "gone/rows.csv"): "there is no folder gone",
    }
    for words, message in messages.items():
        assert message in rejected(capsys, *words)


def test_rows_can_be_paired_by_their_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "gold.jsonl", [{"id": "a", "target": "x"}, {"id": "b", "target": "y"}])
    write_lines(tmp_path / "made.jsonl", [{"id": "0", "pred": "x"}, {"id": "1", "pred": "y"}])
    assert "lacks 2 of the 2 ids" in rejected(capsys, "made.jsonl", "gold.jsonl")
    metrics = scored(capsys, "made.jsonl", "gold.jsonl", "--in-order")["systems"][0]["metrics"]
    assert metrics["predict_rouge1"] == 100.0


def test_markers_between_sentences_are_line_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"prediction": "it rained .<n>it snowed .", "reference": "it rained .\nit snowed ."}
    write_lines(tmp_path / "both.jsonl", [row])
    metrics = scored(capsys, "both.jsonl")["systems"][0]["metrics"]
    assert [metrics[f"predict_{name}"] for name in ("rouge1", "rougeLsum")] == [100.0, 100.0]


def test_metrics_that_lack_documents_are_left_out_with_a_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lines(tmp_path / "both.jsonl", [{"prediction": "a b", "reference": "a b"}])
    write_lines(tmp_path / "documents.jsonl", [{"text": "a b c d. e"}])
    names = "metric.names=[rouge,novelty]"
    code, out, err = score(capsys, "both.jsonl", names)
    assert (code, "new 1-grams" in out) == (0, False)
    assert "without documents there is no novelty; add --documents FILE" in err
    code, out, _ = score(capsys, "both.jsonl", names, "--documents", "documents.jsonl")
    assert (code, "new 1-grams" in out) == (0, True)
    assert "lead-1" in out


def test_names_are_the_parts_that_differ() -> None:
    file = "generated_predictions.jsonl"
    assert names_of([f"runs/a/{file}", f"runs/b/{file}"]) == ["a", "b"]
    assert names_of(["out/bart.txt", "out/lead.csv"]) == ["bart.txt", "lead.csv"]
    assert names_of(["a.txt", "b/a.txt"]) == ["a.txt", "b/a.txt"]
    assert names_of(["a.txt"]) == ["a.txt"]


def test_nothing_slow_is_imported(tmp_path: Path) -> None:
    write_lines(tmp_path / "both.jsonl", [{"prediction": "a b", "reference": "a b"}])
    program = (
        "import sys\nfrom summexp.cli import main\n"
        "try:\n    main(['score', 'both.jsonl'])\n"
        "except SystemExit as end:\n"
        "    slow = ('torch', 'transformers', 'datasets', 'pandas', 'evaluate')\n"
        "    print(end.code, [name for name in slow if name in sys.modules])\n"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_the_commands_of_the_page_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "score.md"
    blocks = page.read_text(encoding="utf-8").split("```bash\n")[1:]
    commands = [line for block in blocks for line in block.split("```")[0].splitlines()]
    rows = [
        {"id": str(n), "document": f"It rained {n}.", "summary": f"Rain {n}."} for n in range(3)
    ]
    write_lines(tmp_path / "test.jsonl", rows)
    made = [{"id": str(n), "prediction": f"It rained {n}."} for n in range(3)]
    for name in ("bart.jsonl", "old.jsonl"):
        write_lines(tmp_path / name, made)
    for name in ("system.txt", "references.txt", "first.txt", "second.txt"):
        Path(name).write_text("하나\n둘\n셋\n", encoding="utf-8")
    Path("lead.csv").write_text("id,headline\n0,Rain\n1,Rain\n2,Rain\n", encoding="utf-8")
    shutil.copytree(runs / "english", "outputs/run")
    for name in ("a", "b"):
        shutil.copytree(runs / "english", f"outputs/{name}")
    with (tmp_path / "english.jsonl").open("w", encoding="utf-8") as file:
        for line in (runs / "english" / "generated_predictions.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            file.write(json.dumps({"id": row["id"], "document": row["reference"]}) + "\n")
    assert len(commands) > 6
    for command in commands:
        program, verb, *words = command.split()
        assert (program, verb) == ("summexp", "score")
        code, out, err = score(capsys, *words)
        assert code == 0, err
        assert out
    assert all(one != other for one, other in pairwise(commands))
