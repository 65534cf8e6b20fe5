from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import datasets
import pytest

from summexp.data.config import DataConfig
from summexp.data.corpus import Corpus, load_corpus
from summexp.data.data_checks import check_data
from summexp.data.source_files import Inspections
from summexp.data.split_sources import PHASES, data_of
from summexp.errors import ConfigError

CORPORA = Path(__file__).parents[3] / "shared" / "data"
ROWS = [
    {"id": "a", "article": "First.", "highlights": "1"},
    {"id": "b", "article": " ", "highlights": "2"},
    {"id": "c", "article": "Third.", "highlights": None},
    {"id": "d", "article": "First.", "highlights": "1"},
    {"id": "e", "article": "Fifth.", "highlights": "5"},
]


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return str(path)


def load(tmp_path: Path, *phases: Any, **config: Any) -> Corpus:
    cache = tmp_path / "cache"
    return load_corpus(DataConfig(**config), phases=phases, offline=True, cache_dir=cache)


def test_each_split_in_its_own_format(rows: str, tmp_path: Path) -> None:
    validation = tmp_path / "validation.csv"
    validation.write_text("dialogue,summary\nFirst. ,other\nnew,x\n,y\n", "utf-8-sig")
    test = tmp_path / "test.txt"
    test.write_text("First.\n\nnew\n")
    corpus = load(
        tmp_path, *PHASES, train_file=rows, validation_file=str(validation), test_file=str(test)
    )
    assert list(corpus.train or []) == [
        {"id": "a", "document": "First.", "summary": "1"},
        {"id": "d", "document": "First.", "summary": "1"},
        {"id": "e", "document": "Fifth.", "summary": "5"},
    ]
    assert list(corpus.validation) == ["validation"]
    assert list(corpus.validation["validation"]) == [
        {"id": "0", "document": "First. ", "summary": "other"},
        {"id": "1", "document": "new", "summary": "x"},
    ]
    assert list(corpus.test or []) == [
        {"id": "0", "document": "First.", "summary": None},
        {"id": "1", "document": "", "summary": None},
        {"id": "2", "document": "new", "summary": None},
    ]
    assert corpus.health.lines() == [
        "train: 3 rows (2 dropped, 1 without a document, 1 without a summary, 1 duplicate)",
        "validation: 2 rows (1 dropped, 1 without a document)",
        "test: 3 rows (1 without a document, 3 without a summary)",
        "documents of validation that are also in train: 1 (50.0 %)",
        "documents of test that are also in train: 1 (33.3 %)",
        "documents of test that are also in validation: 2 (66.7 %)",
    ]
    assert corpus.columns["train"].document == "article"
    assert set(corpus.fingerprints) == {"train", "validation", "test"}


def test_prediction_keeps_every_row_in_its_place(rows: str, tmp_path: Path) -> None:
    test = load(tmp_path, "predict", test_file=rows).test
    assert test is not None
    assert test["id"][:] == ["a", "b", "c", "d", "e"]
    assert test["summary"][:] == ["1", "2", None, "1", "5"]


def test_limits_take_the_first_usable_rows(rows: str, tmp_path: Path) -> None:
    corpus = load(
        tmp_path,
        *PHASES,
        train_file=rows,
        validation_file=rows,
        test_file=rows,
        max_train_samples=2,
        max_eval_samples=1,
        max_predict_samples=3,
    )
    assert corpus.train is not None
    assert corpus.test is not None
    assert [row["id"] for row in corpus.train] == ["a", "d"]
    assert corpus.validation["validation"]["id"][:] == ["a"]
    assert corpus.test["id"][:] == ["a", "b", "c"]


def test_several_validation_sets(rows: str, tmp_path: Path) -> None:
    corpus = load(tmp_path, "eval", validation_files={"near": rows, "far": rows})
    assert list(corpus.validation) == ["near", "far"]
    assert list(corpus.health.splits) == ["validation_near", "validation_far"]
    assert corpus.train is None
    assert corpus.test is None


def test_the_second_job_does_not_parse_again(
    rows: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load(tmp_path, "train", train_file=rows)
    monkeypatch.setattr("summexp.data.corpus.RowReader", None)
    again = load(tmp_path, "train", train_file=rows)
    assert list(again.train or []) == list(first.train or [])
    assert again.health == first.health
    Path(rows).write_text(json.dumps(ROWS[0]))
    with pytest.raises(TypeError):  # another content is parsed, which is barred here
        load(tmp_path, "train", train_file=rows)


def test_in_memory_touches_no_cache(rows: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    corpus = load_corpus(
        DataConfig(train_file=rows),
        phases=["train"],
        offline=True,
        cache_dir=cache,
        in_memory=True,
    )
    assert corpus.fingerprints == load(tmp_path, "train", train_file=rows).fingerprints
    assert cache.exists()  # made by the second load only
    assert len(list((cache / "corpus").iterdir())) == 1


def test_rows_given_by_the_caller(tmp_path: Path) -> None:
    corpus = load_corpus(
        DataConfig(name="owner/name", text_column="dialogue"),
        phases=PHASES,
        offline=True,
        cache_dir=tmp_path,
        in_memory=True,
        rows={
            "train": [{"dialogue": "a", "summary": "b"}],
            "validation": [{"dialogue": "c", "summary": "d"}],
            "test": [{"dialogue": "e"}],
        },
    )
    assert list(corpus.train or []) == [{"id": "0", "document": "a", "summary": "b"}]
    assert corpus.validation["validation"]["document"][:] == ["c"]
    assert list(corpus.test or []) == [{"id": "0", "document": "e", "summary": None}]


@pytest.mark.parametrize(
    ("phase", "config", "message"),
    [
        ("eval", {}, r"data.validation_file: training.do_eval is true, but there is no validation"),
        ("predict", {}, r"data.test_file: training.do_predict is true, but there is no test data"),
        ("eval", {"name": "news_briefs", "validation_split": "dev"}, "has no split 'dev'"),
    ],
)
def test_a_phase_without_its_split(
    rows: str, tmp_path: Path, phase: str, config: dict[str, str], message: str
) -> None:
    config = config or {"train_file": rows}
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, "train", phase, **config)


def test_no_usable_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("document,summary\na,\n,b\n")
    with pytest.raises(ConfigError, match=r"no usable row in .*: of 2 rows, 1 have no doc"):
        load(tmp_path, "train", train_file=str(path))


def test_a_broken_line_names_its_key(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"document": "a", "summary": "b"})] * 50 + ['{"document": ']
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="line 51") as caught:
        load(tmp_path, "train", train_file=str(path))
    assert caught.value.problems[0].key == "data.train_file"


def test_another_encoding_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "rows.csv"
    text = "document,summary\n정부는 예산안을 국회에 제출했다.,예산안 제출\n"
    path.write_bytes(text.encode("cp949"))
    with caplog.at_level(logging.WARNING):
        corpus = load(tmp_path, "train", train_file=str(path))
    assert next(iter(corpus.train or []))["summary"] == "예산안 제출"
    assert caplog.text.count("reading it as cp949") == 1
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load(tmp_path, "train", train_file=str(path))  # a later run, from the cache
    assert caplog.text.count("reading it as cp949") == 1


def test_streaming_reads_the_training_rows_when_asked(rows: str, tmp_path: Path) -> None:
    corpus = load(tmp_path, "train", "eval", train_file=rows, validation_file=rows, streaming=True)
    assert isinstance(corpus.train, datasets.IterableDataset)
    assert corpus.train.column_names == ["id", "document", "summary"]
    expected = list(load(tmp_path, "train", train_file=rows).train or [])
    assert list(corpus.train) == list(corpus.train) == expected
    assert corpus.validation["validation"].num_rows == 3
    assert corpus.health.splits["train"].streamed
    limited = load(tmp_path, "train", train_file=rows, streaming=True, max_train_samples=2)
    assert [row["id"] for row in limited.train or []] == ["a", "d"]


def test_the_bundled_corpus(tmp_path: Path) -> None:
    corpus = load(tmp_path, *PHASES, name="news_briefs", max_train_samples=5)
    assert corpus.train is not None
    assert [row["id"] for row in corpus.train][:2] == ["train-00000", "train-00001"]
    assert corpus.health.splits["train"].rows == 5


class TestSparseFile:
    """A file whose first rows lack a column."""

    def write(self, path: Path, late: dict[str, object], *, limit: int = 25) -> str:
        first = [{"document": f"d{n}", "text": f"t{n}"} for n in range(limit)]
        rows = [*first, {"document": "late", "text": "t", **late}]
        path.write_text("\n".join(map(json.dumps, rows)))
        return str(path)

    @pytest.mark.parametrize("named", [{}, {"text_column": "text", "summary_column": "summary"}])
    @pytest.mark.parametrize("runs", [1, 2])
    def test_of_summaries(self, tmp_path: Path, named: dict[str, str], runs: int) -> None:
        file = self.write(tmp_path / "rows.jsonl", {"summary": "s"})
        config = {"train_file": file, "text_column": "document", **named}
        for _ in range(runs):  # the second one reads the cache
            corpus = load(tmp_path, "train", **config)
            assert [row["summary"] for row in corpus.train or []] == ["s"]
            assert corpus.health.splits["train"].empty_summary == 25
        problems = check_data(DataConfig(**config), do_train=True, do_eval=False, do_predict=False)
        assert problems == []

    def test_of_references_and_ids(self, tmp_path: Path) -> None:
        late = {"summary": "s", "references": ["s", "r"], "id": "key"}
        config = {"test_file": self.write(tmp_path / "rows.jsonl", late), "text_column": "document"}
        for _ in range(2):
            corpus = load(tmp_path, "predict", **config)
            assert corpus.test is not None
            assert corpus.test[25] == {
                "id": "key",
                "document": "late",
                "summary": "s",
                "references": ["s", "r"],
            }
            assert corpus.test["id"][:3] == ["0", "1", "2"]
            assert corpus.columns["test"].references == "references"

    def test_of_a_test_file_beside_a_dataset(self, tmp_path: Path) -> None:
        file = self.write(tmp_path / "rows.jsonl", {"gold": "s"})
        config = {"name": "owner/corpus", "test_file": file, "text_column": "document"}
        config |= {"summary_column": "gold"}
        data = data_of(DataConfig(**config), ["predict"], Inspections())
        assert (data.text_column, data.summary_column) == ("document", "gold")

    def test_of_a_share(self, tmp_path: Path) -> None:
        rows = [{"document": f"d{n}", **({"summary": "s"} if n > 20 else {})} for n in range(200)]
        path = tmp_path / "rows.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        config = {"train_file": str(path), "validation_share": 0.2}
        problems = check_data(DataConfig(**config), do_train=True, do_eval=True, do_predict=False)
        assert problems == []
        corpus = load(tmp_path, "train", "eval", **config)
        assert len(corpus.train or []) + len(corpus.validation["validation"]) == 179


class TestFolder:
    def test_of_data_files(self, tmp_path: Path) -> None:
        folder = tmp_path / "corpus"
        folder.mkdir()
        for split, count in (("train", 5), ("validation", 1), ("test", 5)):
            lines = "\n".join(map(json.dumps, ROWS[:count]))
            (folder / f"{split}.jsonl").write_text(lines)
        corpus = load(tmp_path, *PHASES, name=str(folder))
        assert [row["id"] for row in corpus.train or []] == ["a", "d", "e"]
        assert corpus.test is not None
        assert corpus.test["summary"][:] == ["1", "2", None, "1", "5"]

    def test_of_save_to_disk(self, tmp_path: Path) -> None:
        saved = datasets.Dataset.from_list(ROWS)
        datasets.DatasetDict({"train": saved, "dev": saved}).save_to_disk(tmp_path / "saved")
        config = {"name": str(tmp_path / "saved"), "validation_split": "dev[80%:]"}
        corpus = load(tmp_path, "train", "eval", **config)
        assert [row["id"] for row in corpus.train or []] == ["a", "d", "e"]
        assert corpus.validation["validation"]["id"][:] == ["e"]
        with pytest.raises(ConfigError, match=r"has no split 'test'(?s:.*)Its splits: train, dev"):
            load(tmp_path, "predict", **config)
        with pytest.raises(ConfigError, match=r"data.streaming: .* was written by save_to_disk"):
            load(tmp_path, "train", streaming=True, **config)

    def test_of_save_to_disk_with_an_empty_split(self, tmp_path: Path) -> None:
        saved = datasets.Dataset.from_list(ROWS)
        splits = {"train": saved, "validation": saved.select([])}
        datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
        config = {"name": str(tmp_path / "saved")}
        corpus = load(tmp_path, "train", **config)
        assert [row["id"] for row in corpus.train or []] == ["a", "d", "e"]
        with pytest.raises(ConfigError, match=r"data.validation_split: .* holds no rows\n"):
            load(tmp_path, "train", "eval", **config)
        problems = check_data(DataConfig(**config), do_train=True, do_eval=True, do_predict=False)
        assert [problem.key for problem in problems] == ["data.validation_split"]

    def test_a_broken_file_in_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "corpus"
        folder.mkdir()
        (folder / "train.jsonl").write_text('{"document": "a"\n')
        with pytest.raises(ConfigError, match=r"data.name: cannot read a file of "):
            load(tmp_path, "train", name=str(folder))


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the real corpora are not beside the repository")
def test_real_dialogues(tmp_path: Path) -> None:
    folder = CORPORA / "mts_dialog"
    corpus = load(
        tmp_path,
        *PHASES,
        train_file=str(folder / "train.csv"),
        validation_file=str(folder / "validation.csv"),
        test_file=str(folder / "test.csv"),
        text_column="dialogue",
        summary_column="section_text",
    )
    rows = [corpus.train, corpus.validation["validation"], corpus.test]
    assert [split.num_rows for split in rows if split is not None] == [1201, 100, 200]
    assert corpus.health.splits["train"].duplicate_documents == 2
    assert "\n" in next(iter(corpus.test or []))["document"]


def test_references_reach_the_corpus(tmp_path: Path) -> None:
    lines = [
        {"document": "a", "summary": "b", "references": ["b", "c"]},
        {"document": "d", "summary": "e", "references": ["e"]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    for _ in range(2):
        corpus = load(tmp_path, "eval", validation_file=str(path))
        assert corpus.validation["validation"]["references"][:] == [["b", "c"], []]
        assert corpus.validation["validation"]["summary"][:] == ["b", "e"]


def test_references_alone_are_scored_against(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"document": "a", "references": ["b", "c"]}))
    for phase in ("eval", "predict"):
        key = {"eval": "validation_file", "predict": "test_file"}[phase]
        corpus = load(tmp_path, phase, **{key: str(path)})
        rows = corpus.validation["validation"] if phase == "eval" else corpus.test
        assert rows is not None
        assert rows[0] == {"id": "0", "document": "a", "summary": "b", "references": ["b", "c"]}


def test_a_stream_has_no_references(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"document": "a", "summary": "b", "references": ["b", "c"]}))
    corpus = load(tmp_path, "train", train_file=str(path), streaming=True)
    assert list(corpus.train or []) == [{"id": "0", "document": "a", "summary": "b"}]
