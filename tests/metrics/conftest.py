import csv
import json
from pathlib import Path

import pytest

from summexp.errors import ConfigError
from summexp.metrics.sentences import load_punkt

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def scitldr() -> list[tuple[str, str]]:
    """(document, summary) of each row of scitldr's test file."""
    path = DATA / "scitldr" / "test.jsonl"
    if not path.exists():
        pytest.skip(f"real data not found: {path}")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(row["document"], row["summary"]) for row in rows]


@pytest.fixture(scope="session")
def mts_dialog() -> list[tuple[str, str]]:
    """(dialogue, note) of each row of mts_dialog's training file."""
    path = DATA / "mts_dialog" / "train.csv"
    if not path.exists():
        pytest.skip(f"real data not found: {path}")
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["dialogue"], row["section_text"]) for row in csv.DictReader(file)]


@pytest.fixture
def punkt() -> None:
    """Skip where nltk's punkt data are not installed."""
    try:
        load_punkt()
    except ConfigError:
        pytest.skip("nltk's punkt_tab data are not installed (python -m nltk.downloader punkt_tab)")
