from __future__ import annotations

from pathlib import Path

import pytest

from summexp.data.config import DataConfig
from summexp.data.synthetic import needs_synthetic_rows, synthetic_rows


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (DataConfig(name="EdinburghNLP/xsum"), True),
        (DataConfig(), True),
        (DataConfig(name="news_briefs"), False),
        (DataConfig(train_file="train.csv"), False),
        (DataConfig(validation_files={"a": "a.csv"}), False),
    ],
)
def test_only_what_is_not_here_is_stood_in_for(config: DataConfig, needed: bool) -> None:
    assert needs_synthetic_rows(config) is needed


def test_a_local_folder_is_real_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not needs_synthetic_rows(DataConfig(name=str(tmp_path)))
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    assert not needs_synthetic_rows(DataConfig(name=f"~/{tmp_path.name}"))


def test_rows_have_the_columns_of_the_real_corpus() -> None:
    config = DataConfig(
        name="org/corpus", text_column="article", summary_column="highlights", id_column="key"
    )
    splits = synthetic_rows(config, {"train", "eval", "predict"})
    assert set(splits) == {"train", "validation", "test"}
    texts = set()
    for rows in splits.values():
        assert len(list(rows)) == 16
        for row in rows:
            assert set(row) == {"key", "article", "highlights"}
            assert all(row.values())
            texts.add(row["article"])
    assert len(texts) == 48


def test_only_the_phases_asked_for() -> None:
    assert set(synthetic_rows(DataConfig(name="org/corpus"), {"predict"})) == {"test"}


def test_rows_are_the_same_every_time() -> None:
    config = DataConfig(name="org/corpus")
    assert synthetic_rows(config, {"train"}) == synthetic_rows(config, {"train"})
