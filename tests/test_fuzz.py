"""Whatever is typed, and whatever the files hold: a clear message or a config, never a traceback.

Short and the same at each run; `PYTEST_FUZZ_EXAMPLES=5000 pytest -n 0 tests/test_fuzz.py` is long
and tries others each time.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from tests.data.reading import read_once

from summexp.check import check
from summexp.command_line import parse
from summexp.config.compose import shown_config
from summexp.config.error_report import format_error
from summexp.config.keys import declared_fields
from summexp.config.schema import SECTIONS
from summexp.data.config import DataConfig
from summexp.data.data_checks import check_data, check_file
from summexp.data.source_files import Inspections
from summexp.data.split_sources import SplitSource
from summexp.errors import ConfigError
from summexp.modeling.config import ModelConfig
from summexp.modeling.model_checks import check_model
from summexp.run_folder.creation import check_is_free, check_is_writable
from summexp.runs.lock import check_is_unlocked
from summexp.runs.resume import check_checkpoint

LONG = int(os.environ.get("PYTEST_FUZZ_EXAMPLES", "0"))


def fuzz(examples: int) -> Callable[[Any], Any]:
    """Run a test with so many examples, always the same, or with many others."""
    return settings(
        max_examples=LONG or examples,
        derandomize=not LONG,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if LONG else [])],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(autouse=True, scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("fuzz")
    os.chdir(folder)
    Path("train.csv").write_text("document,summary\na,b\n")
    Path("corpus").mkdir()
    yield folder
    os.chdir(before)


def is_reported(words: list[str]) -> bool:
    """Check a command line; return whether it was refused, with a message that can be printed."""
    try:
        command = parse(words)
        jobs = check(command)
        if command.shows_job:
            shown_config(jobs[0].tree, command.package, resolve=command.resolve)
    except ConfigError as error:
        reported = error
    else:
        return False
    assert reported.problems
    assert all(problem.what.strip() for problem in reported.problems)
    # As standard error writes what is no Unicode.
    format_error(reported).encode(errors="backslashreplace")
    return True


KEYS = [*declared_fields(), *SECTIONS, "hydra.job.name", "hydra/launcher", "experiment"]
FRAGMENTS = st.sampled_from(
    [
        *(
            "=",
            "+",
            "++",
            "~",
            "@",
            ":",
            "/",
            ".",
            ",",
            " ",
            "$",
            "${",
            "}",
            "{",
            "[",
            "]",
            "(",
            ")",
        ),
        *("'", '"', "\\", "\\n", "\n", "\t", "\0", "\x1b[31m", "\u202e", "\ud83d\ude00", "가", "é"),
        *("null", "true", "-1", "1e400", "nan", "0x10", "1_000", "---", "-m", "--cfg", "job", "#"),
        *("oc.env:HOME", "oc.env:NOPE", "hydra:job.num", "glob(*)", "range(1,9)", "choice(a,b)"),
        *(
            "sort(3,1)",
            "shuffle(a)",
            "interval(0,1)",
            "_target_",
            "defaults",
            "a" * 5000,
            "9" * 400,
        ),
        *(
            "~nobody/x",
            "/dev/null",
            "/dev/full",
            "/proc/self/mem",
            "corpus",
            "train.csv",
            "..",
            ".",
        ),
        *("s3://a", "file:///x", "http://[", "CON", "model.architecture", "data.validation_files"),
    ]
)
TEXTS = st.one_of(
    FRAGMENTS,
    st.lists(FRAGMENTS, max_size=4).map("".join),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
)
WORDS = st.one_of(
    st.tuples(st.sampled_from(["", "", "", "+", "++", "~"]), st.sampled_from(KEYS), TEXTS).map(
        lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
    ),
    st.tuples(st.sampled_from(KEYS), TEXTS, TEXTS).map(lambda parts: "{}.{}={}".format(*parts)),
    st.sampled_from(KEYS),
    TEXTS,
    st.sampled_from(["-m", "--cfg", "job", "--resolve", "-p", "--info", "--config-dir", "corpus"]),
    st.tuples(st.sampled_from(["--config-dir", "--config-name", "-p", "--cfg"]), TEXTS).map(
        "=".join
    ),
)


@fuzz(12)
@given(st.lists(WORDS, max_size=4))
@example(["model=bart_base", "--info"])
@example(["--config-dir=a\0b"])
@example(["output_dir=\udcff"])
def test_words(words: list[str]) -> None:
    is_reported(words)


@fuzz(12)
@given(key=st.sampled_from(sorted(declared_fields())), value=TEXTS, more=st.booleans())
@example(key="seed", value="-1", more=False)
@example(key="data.train_file", value='"~nobody/x.csv"', more=False)
@example(key="data.name", value='"~nobody/x"', more=False)
@example(key="training.logging_steps", value="inf", more=False)
def test_values(key: str, value: str, *, more: bool) -> None:
    words = ["data=custom_csv"] if more and key.startswith("data.") else []
    is_reported([*words, f"{key}={value}"])


NAMES = st.sampled_from(
    [
        *("a.csv", "a.tsv", "a.json", "a.jsonl", "a.ndjson", "a.parquet", "a.txt", "a", "a.csv.gz"),
        *("a.jsonl.gz", "a.gz", "a.xlsx", "가.csv", "a b.csv", "a.CSV"),
    ]
)
CELLS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ['"', '""', '\\"', "null", "NaN", "a\nb", "\r", "\u2028", "\ufeff", "\0", "=1+1"]
    ),
)
ROWS = st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=5)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["document", "summary", "id", "references"]), inner),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=8,
)
ENCODINGS = st.sampled_from(
    ["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "cp949", "shift_jis", "iso2022_jp", "latin-1"]
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Return what a file may hold: rows, JSON, plain bytes, cut short or compressed or not."""
    kind = draw(st.sampled_from(["rows", "json", "lines", "bytes", "header"]))
    if kind == "bytes":
        data = draw(st.one_of(st.binary(max_size=60), st.just(b"PK\x03\x04"), st.just(b"PAR1PAR1")))
    elif kind == "json":
        data = json.dumps(draw(JSON)).encode()
    elif kind == "lines":
        data = "\n".join(json.dumps(one) for one in draw(st.lists(JSON, max_size=4))).encode()
    else:
        mark = draw(st.sampled_from([",", "\t", ";", "|"]))
        head = [["document", "summary"]] if kind == "header" else []
        text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(
            mark.join(row) for row in [*head, *draw(ROWS)]
        )
        data = text.encode(draw(ENCODINGS), errors="replace")
    if draw(st.booleans()):
        data = gzip.compress(data)
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))]
    return data


@fuzz(200)
@given(name=NAMES, data=contents(), phase=st.sampled_from(["train", "predict"]))
def test_files(name: str, data: bytes, phase: Any) -> None:
    path = Path("files", name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    source = SplitSource(
        phase=phase, name="a", set_name="a", key="data.x", value=str(path), limit=None
    )
    for columns in ({}, {"text_column": "document", "summary_column": "summary"}):
        with contextlib.suppress(ConfigError):
            check_file(source, DataConfig(**columns), Inspections())
        # To the end, as a run does.
        with contextlib.suppress(ConfigError):
            read_once(path)


def _places(root: Path) -> list[str]:
    """Return paths that are no ordinary files."""
    root.mkdir()
    os.mkfifo(root / "pipe.csv")
    (root / "loop.csv").symlink_to("loop.csv")
    (root / "nowhere.csv").symlink_to("absent.csv")
    (root / "folder.csv").mkdir()
    (root / "unreadable.csv").write_text("document,summary\na,b\n")
    (root / "unreadable.csv").chmod(0)
    names = [str(path) for path in sorted(root.iterdir())]
    names += [f"{root}/pipe.csv/below", f"{root}/{'a' * 300}.csv", f"{root}/a\0b.csv", f"{root}/"]
    names += [
        "/dev/null",
        "/dev/zero",
        "/dev/tty",
        "/proc/self/mem",
        "/proc/1/cwd/x",
        "//",
        "\udcff",
    ]
    return [
        *names,
        "~",
        "~/",
        "~nobody/x.csv",
        "~root",
        "a" * 5000,
        "../" * 2000,
        "file:///x",
        ":",
        "",
    ]


def test_paths_that_are_no_ordinary_files(tmp_path: Path) -> None:
    for place in _places(tmp_path / "odd"):
        for config in (
            {"train_file": place},
            {"name": place or "x"},
            {"validation_files": {"dev": place}},
        ):
            with contextlib.suppress(ConfigError):
                data = DataConfig(**config)
                found = check_data(data, do_train=True, do_eval=True, do_predict=False)
                assert all(str(problem) for problem in found)
        for key in ("model.name_or_path", "model.tokenizer_name", "model.config_name"):
            name = key.partition(".")[2]
            config = {"name_or_path": "a/b", name: place}
            with contextlib.suppress(ConfigError):
                assert all(map(str, check_model(ModelConfig(**config), offline=True)))
        with contextlib.suppress(ConfigError):
            check_is_writable(Path(place))
            check_is_unlocked(Path(place))
            check_is_free(Path(place))
        assert all(map(str, check_checkpoint(place)))


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/absent"},
        {"HOME": ""},
        {"HOME": "\udcff"},
        {"HF_HOME": "/dev/null", "SUMMEXP_CACHE": "/dev/null"},
        {"HF_HUB_CACHE": "~nobody/x", "XDG_CACHE_HOME": "~nobody"},
        {"HF_ENDPOINT": "not an address", "HF_HUB_OFFLINE": "maybe"},
        {"LANG": "C", "LC_ALL": "POSIX"},
        {"LANG": "ko_KR.eucKR", "PYTHONUTF8": "0"},
        {"CUDA_VISIBLE_DEVICES": "a,b", "NVIDIA_VISIBLE_DEVICES": "none"},
        {"RANK": "x", "LOCAL_RANK": "0", "WORLD_SIZE": "2"},
        {"WORLD_SIZE": "-1", "RANK": "0", "LOCAL_RANK": "0"},
        {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "two", "SLURM_PROCID": "0"},
        {"MASTER_PORT": "http", "NODE_RANK": "0", "MASTER_ADDR": ""},
        {"ACCELERATE_MIXED_PRECISION": "fp7", "ACCELERATE_USE_FSDP": "maybe"},
        {"WANDB_API_KEY": "e", "HF_TOKEN": ""},
        {"HYDRA_FULL_ERROR": "x", "COLUMNS": "none", "TERM": ""},
        {"OMP_NUM_THREADS": "many", "PJRT_DEVICE": "CPU"},
    ],
)
def test_environments(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    is_reported(["model=t5_small", "offline=true", "data.name=~/corpus", "hardware.processes=2"])
