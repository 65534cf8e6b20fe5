"""What is kept on disk: made again after a change of the code, and of use to every user of it."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from datasets import Dataset
from tests.modeling.tiny_models import DOCUMENTS, SUMMARIES
from transformers import T5Config

from summexp.data.cache import cache_key
from summexp.data.columns import Example
from summexp.data.config import DataConfig
from summexp.data.corpus_cache import SplitOptions, SplitWriter, stored_split
from summexp.data.known_files import known_file, remember_file
from summexp.data.source_files import inspect
from summexp.data.tokenize import Tokenizing, tokenize
from summexp.modeling.tokenizers import corpus_tokenizer, tokenizer_digest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "summexp"
GROUP = 61_000
USERS = (61_001, 61_002)


def test_the_key_depends_on_every_part() -> None:
    assert cache_key("file", "abc", None) == cache_key("file", "abc", None)
    assert len({cache_key("a", None), cache_key("a", 1), cache_key("b", None)}) == 3


def test_the_key_depends_on_the_code_that_makes_the_content(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(PACKAGE, tmp_path / "summexp", ignore=ignored)

    def key() -> str:
        code = "from summexp.data import cache; print(cache.__file__, cache.cache_key('a'))"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-B", "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        file, found = done.stdout.split()
        assert Path(file).is_relative_to(copy)
        return found

    before = key()
    assert before == cache_key("a")
    with (copy / "reports" / "report.py").open("a") as file:
        file.write("# shapes no row\n")
    assert key() == before
    with (copy / "data" / "csv_rows.py").open("a") as file:
        file.write("# reads otherwise\n")
    after = key()
    assert after != before
    with (copy / "modeling" / "tokenizers.py").open("a") as file:
        file.write("# trains otherwise\n")
    assert key() not in (before, after)


def fill(cache: Path) -> list[str]:
    """Do what a run does in a cache: a split, a tokenizer, tokens. Return what had to be made."""
    made = []

    def examples() -> Iterator[Example]:
        made.append("split")
        for number, (document, summary) in enumerate(zip(DOCUMENTS, SUMMARIES, strict=True)):
            yield Example(str(number), document, summary)

    def texts() -> Iterator[str]:
        made.append("tokenizer")
        yield from DOCUMENTS

    split = stored_split(cache, "key")
    if split is None:
        with SplitWriter(SplitOptions(keep_all=False), cache) as writer:
            for example in examples():
                writer.add(example)
            split = writer.finish("key")
    file = inspect(cache.parent / "rows.csv")
    if known_file(file, cache) is None:
        made.append("file")
        remember_file(file, "digest", cache)
    tokenizer = corpus_tokenizer(
        texts, corpus="tiny_models", shape=T5Config(vocab_size=300), cache_dir=cache
    )
    tokenizing = Noted(
        tokenizer=tokenizer,
        tokenizer_digest=tokenizer_digest(tokenizer),
        prefix="",
        max_source_length=9,
        max_target_length=9,
    )
    Noted.made = made
    tokens = tokenize(Dataset(split.rows.data), split.fingerprint, tokenizing, DataConfig(), cache)
    assert len(tokens) == len(DOCUMENTS)
    return made


class Noted(Tokenizing):
    """Notes that rows are tokenized."""

    made: list[str]

    def __call__(self, batch: dict[str, list[object]]) -> dict[str, list[object]]:
        self.made.append("tokens")
        return super().__call__(batch)


def as_user(user: int, part: Callable[[], object], expected: object) -> None:
    """Call `part` as another user of the group, and require what it returns."""
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(GROUP, GROUP, GROUP)
        os.setresuid(user, user, user)
        os.umask(0o002)
        os._exit(0 if part() == expected else 1)
    assert os.waitpid(child, 0)[1] == 0


def two_users(cache: Path) -> None:
    (cache / "rows.csv").write_text("document,summary\na,b\n")
    shared = cache / "shared"
    shared.mkdir()
    os.chown(shared, -1, GROUP)
    shared.chmod(0o2775)
    # Another user may be unable to read this Python, so all of it is imported before.
    fill(cache / "own")
    as_user(USERS[0], lambda: fill(shared), ["split", "file", "tokenizer", "tokens"])
    as_user(USERS[1], lambda: fill(shared), [])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two other users")
def test_a_cache_serves_all_users_of_a_group() -> None:
    # Not below pytest's own folder, which is for one user alone.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        # A fork of this process would have the locks of its threads, and nobody to open them.
        process = multiprocessing.get_context("forkserver").Process(
            target=two_users, args=(Path(folder),)
        )
        process.start()
        process.join()
        assert process.exitcode == 0
        owners = {path.stat().st_uid for path in Path(folder, "shared", "tokenized").iterdir()}
        assert owners == {USERS[0]}
