"""How often a whole run opens and reads the files of its user, in all of its processes."""

from __future__ import annotations

import csv
import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import forked

ROWS = [
    {
        "document": f"{n} " + "The river rose, and the town was warned. " * 6,
        "summary": f"River {n}.",
    }
    for n in range(4000)
]
INSPECTED = 1 << 18
"""More bytes than are read of a file to inspect it."""
# Each process notes the files that it opens, and how much of them it reads.
COUNTER = """
import builtins, io, os, sys

def note(*what):
    line = " ".join(map(str, what)) + chr(10)
    at = os.open(os.environ["READS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(at, line.encode())
    os.close(at)

def is_watched(file):
    return isinstance(file, (str, os.PathLike)) and os.path.basename(file).startswith("watched.")

class Counted(io.FileIO):
    count = 0
    def readinto(self, buffer):
        size = super().readinto(buffer)
        self.count += size
        return size
    def readall(self):
        data = super().readall()
        self.count += len(data)
        return data
    def close(self):
        if not self.closed:
            note("read", self.count)
        super().close()

def opened(file, mode="r", buffering=-1, *args, **options):
    if not is_watched(file) or mode != "rb":
        return plain(file, mode, buffering, *args, **options)
    raw = Counted(file)
    return raw if buffering == 0 else io.BufferedReader(raw)

plain = io.open
io.open = builtins.open = opened
sys.addaudithook(lambda event, args: event == "open" and is_watched(args[0]) and note("opened"))
"""


def write_csv(path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)


def write_gzip(path: Path) -> None:
    write_csv(path.with_suffix(""))
    # As large as it was: otherwise all of it would be a part of what is inspected.
    content = path.with_suffix("").read_bytes()
    path.write_bytes(gzip.compress(content, compresslevel=0, mtime=0))
    path.with_suffix("").unlink()


def write_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))


def write_tsv(path: Path) -> None:
    rows = [ROWS[0].keys(), *(row.values() for row in ROWS)]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def write_parquet(path: Path) -> None:
    # Pages are read whole.
    options = {"use_dictionary": False, "data_page_size": 1 << 14, "write_batch_size": 64}
    pq.write_table(pa.Table.from_pylist(ROWS), path, compression="none", **options)


def run(folder: Path, *words: str) -> tuple[int, int]:
    """Run `train.py`; return how often the watched file is opened, and the bytes that are read."""
    notes = folder / "notes"
    notes.unlink(missing_ok=True)
    log = folder / "log"
    process = forked.start(
        "output_dir=run",
        *words,
        log=log,
        cwd=folder,
        environment={"READS": str(notes), "SUMMEXP_CACHE": str(folder / "cache")},
        before=functools.partial(exec, COUNTER, {}),
    )
    process.join(300)
    assert process.exitcode == 0, log.read_text()
    lines = notes.read_text().splitlines()
    return lines.count("opened"), sum(int(line.split()[1]) for line in lines if line != "opened")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("watched.csv", write_csv),
        pytest.param("watched.csv.gz", write_gzip, marks=pytest.mark.slow),
        pytest.param("watched.tsv", write_tsv, marks=pytest.mark.slow),
        pytest.param("watched.jsonl", write_jsonl, marks=pytest.mark.slow),
        pytest.param("watched.parquet", write_parquet, marks=pytest.mark.slow),
    ],
)
def test_a_file_of_two_splits_is_inspected_and_read_once(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    size = path.stat().st_size
    assert size > 2 * INSPECTED
    choice = {"jsonl": "custom_json", "parquet": "custom_parquet"}.get(name.split(".")[1])
    words = (f"data={choice or 'custom_csv'}", f"data.train_file={name}")
    opens, read = run(tmp_path, "debug=tiny", *words, f"data.validation_file={name}")
    assert opens == 2
    # A Parquet file is read in the order of its columns, and once more for its digest.
    passes = 2 if name.endswith("parquet") else 1
    assert size <= read < passes * size + INSPECTED


def test_ranks_do_not_inspect_it_again_and_a_second_run_does_not_read_it(tmp_path: Path) -> None:
    write_csv(tmp_path / "watched.csv")
    size = (tmp_path / "watched.csv").stat().st_size
    words = ("data=custom_csv", "data.train_file=watched.csv", "data.validation_file=watched.csv")
    words += ("training.max_steps=1", "training.predict_with_generate=false")
    words += ("data.max_train_samples=40", "data.max_eval_samples=4")
    opens, read = run(tmp_path, *words, "hardware=ddp2_cpu")
    assert opens == 2
    assert size <= read < size + INSPECTED
    opens, read = run(tmp_path, *words, "hardware=cpu", "overwrite_output_dir=true")
    assert opens == 1
    assert read < INSPECTED
