from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.local_hub import LocalHub

CHILD = """
import json, sys
from pathlib import Path
from summexp.data.config import DataConfig
from summexp.data.corpus import load_corpus
from summexp.errors import SummexpError

def ids(rows):
    return None if rows is None else [row["id"] for row in rows]

answers = []
for request in json.loads(sys.argv[1]):
    try:
        corpus = load_corpus(
            DataConfig(**request["data"]),
            phases=request["phases"],
            offline=request.get("offline", False),
            cache_dir=Path(sys.argv[2]),
        )
        answers.append(
            [ids(corpus.train), *map(ids, corpus.validation.values()), ids(corpus.test)]
        )
    except SummexpError as error:
        answers.append(f"{type(error).__name__} {error}")
print(json.dumps(answers))
"""

CONFIGS = """---
configs:
- config_name: one
  data_files: [{split: train, path: one/train.parquet}]
- config_name: two
  data_files: [{split: train, path: two/train.parquet}]
---
"""


def rows(split: str, count: int) -> list[dict[str, str]]:
    return [
        {"link": "…", "highlights": f"s{n}", "article": f"{split} {n}", "id": f"{split}{n}"}
        for n in range(count)
    ]


def jsonl(split: str, count: int) -> bytes:
    return "\n".join(map(json.dumps, rows(split, count))).encode()


def parquet(split: str, count: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows(split, count)), sink)
    return sink.getvalue()


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with LocalHub() as hub:
        hub.add("owner/plain", {"train.jsonl": jsonl("t", 3), "validation.jsonl": jsonl("v", 2)})
        hub.add(
            "owner/configs",
            {
                "README.md": CONFIGS.encode(),
                "one/train.parquet": parquet("a", 2),
                "two/train.parquet": parquet("b", 4),
            },
        )
        hub.add("owner/script", {"script.py": b"import datasets"})
        hub.add(
            "owner/script",
            {
                "3.0.0/train/0000.parquet": parquet("p", 2),
                "3.0.0/validation/0000.parquet": parquet("q", 1),
                "3.0.0/test/0000.parquet": parquet("r", 1),
                "1.0.0/train/0000.parquet": parquet("z", 1),
            },
            revision="refs/convert/parquet",
        )
        hub.add("owner/gated", {"train.jsonl": jsonl("t", 1)}, gated=True)
        hub.add("owner/empty", {"README.md": b"Nothing yet."})
        yield hub


def ask(hub: LocalHub, folder: Path, *requests: dict[str, Any], endpoint: str = "") -> list[Any]:
    """Return what a fresh process loads for each request: ids per split, or the message."""
    environment = {**os.environ, **hub.environment(folder / "hf")}
    if endpoint:
        environment["HF_ENDPOINT"] = endpoint
    output = subprocess.check_output(
        [sys.executable, "-c", CHILD, json.dumps(requests), str(folder / "cache")],
        env=environment,
        text=True,
    )
    answers: list[Any] = json.loads(output.splitlines()[-1])
    return answers


def request(name: str, *phases: str, offline: bool = False, **data: Any) -> dict[str, Any]:
    return {"data": {"name": name, **data}, "phases": phases or ("train",), "offline": offline}


def test_repositories_of_files_configurations_conversions_and_streams(
    hub: LocalHub, tmp_path: Path
) -> None:
    converted = {"revision": "refs/convert/parquet", "config_name": "3.0.0"}
    half = {"train_split": "train[:50%]", "validation_split": "train[50%:]"}
    requests = [
        request("owner/plain", "train", "eval"),
        request("owner/configs", config_name="two"),
        request("owner/configs", "train", "eval", config_name="two", **half),
        request("owner/script", "train", "eval", "predict", **converted),
    ]
    expected = [
        [["t0", "t1", "t2"], ["v0", "v1"], None],
        [["b0", "b1", "b2", "b3"], None],
        [["b0", "b1"], ["b2", "b3"], None],
        [["p0", "p1"], ["q0"], ["r0"]],
    ]
    limits = {"streaming": True, "max_train_samples": 2, "max_eval_samples": 1}
    streams = [
        request("owner/plain", "train", "eval", **limits),
        request("owner/script", revision="refs/convert/parquet", config_name="3.0.0", **limits),
        request("owner/plain", train_split="train[:2]", **limits),
        request("owner/plain", offline=True, **limits),
    ]
    answers = ask(hub, tmp_path, *requests, *streams)
    assert answers[: len(requests)] == expected
    asked = len(hub.requests)
    offline = [one | {"offline": True} for one in requests]
    assert ask(hub, tmp_path, *offline) == expected
    assert hub.requests[asked:] == []
    assert answers[len(requests) :] == [
        [["t0", "t1"], ["v0"], None],
        [["p0", "p1"], None],
        "ConfigError data.train_split: 'train[:2]' is a slice, which data.streaming=true does not "
        "support\n    Name the full split and limit it by data.max_*_samples.",
        "ConfigError data.streaming: owner/plain cannot be streamed from the Hub with "
        "offline=true\n    Set data.streaming=false, or offline=false.",
    ]


def test_what_is_wrong_is_reported(hub: LocalHub, tmp_path: Path) -> None:
    requests = {
        "data.name: there is no folder and no Hub dataset owner/absent": request("owner/absent"),
        "data.name: owner/never is not in the cache, and offline=true": request(
            "owner/never", offline=True
        ),
        "data.name: owner/gated is gated": request("owner/gated"),
        "data.name: owner/empty has no supported data files": request("owner/empty"),
        "data.name: owner/script is a loading script": request("owner/script"),
        "data.revision: owner/plain has no revision 'no'": request("owner/plain", revision="no"),
        "data.config_name: owner/configs has several configurations": request("owner/configs"),
        "data.config_name: owner/configs has no configuration 'tow'": request(
            "owner/configs", config_name="tow"
        ),
        "data.config_name: owner/script has no configuration '2.0.0'": request(
            "owner/script", revision="refs/convert/parquet", config_name="2.0.0"
        ),
        "data.test_split: owner/plain has no split 'test'": request(
            "owner/plain", "train", "eval", "predict"
        ),
        "data.text_column: owner/plain [train] has no column 'artikel'": request(
            "owner/plain", text_column="artikel"
        ),
    }
    answers = ask(hub, tmp_path, *requests.values())
    for beginning, answer in zip(requests, answers, strict=True):
        assert answer.startswith(f"ConfigError {beginning}"), answer
    reported = dict(zip(requests, answers, strict=True))
    hints = [
        ("data.config_name: owner/configs has several configurations", "It has: one, two."),
        ("data.config_name: owner/configs has no configuration 'tow'", "Did you mean 'two'?"),
        ("data.config_name: owner/script has no configuration '2.0.0'", "It has: 1.0.0, 3.0.0."),
        ("data.test_split: owner/plain has no split 'test'", "Its splits: train, validation."),
        ("data.name: owner/script is a loading script", "data.revision=refs/convert/parquet"),
        ("data.name: owner/gated is gated", "HF_TOKEN"),
    ]
    for beginning, hint in hints:
        assert hint in reported[beginning]
