"""Validation sets whose names look like those of scores, from their files to every page."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from tests.in_process import run

NAMES = ("lead1", "loss", "low")


def test_each_set_has_its_scores_on_every_page(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"document": f"Rain fell on day {n}. It was cold.", "summary": "Rain."} for n in (1, 2)]
    Path("r.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    files = [f"data.validation_files.{name}=r.jsonl" for name in NAMES]
    with caplog.at_level(logging.INFO):
        run(
            *("debug=tiny", "data=custom_json", "data.train_file=r.jsonl", *files),
            folder=tmp_path / "run",
        )
    line = next(one for one in caplog.messages if one.startswith("eval: step"))
    assert [name for name in NAMES if f"{name}_rougeL " in line] == list(NAMES)
    terminal = capsys.readouterr().out
    for name in NAMES:
        assert f"Validation: {name}  2 rows, loss" in terminal
        for page in ("report.md", "report.html", "README.md"):
            assert f"Validation: {name}" in (tmp_path / "run" / page).read_text(encoding="utf-8")
    assert terminal.count("ROUGE-Lsum") == len(NAMES)
