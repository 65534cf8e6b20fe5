import shutil
import subprocess
from pathlib import Path

import pytest

from summexp.reports.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_the_page_and_runs_nothing(run_folder: Path, tmp_path: Path) -> None:
    _, page = write_report(run_folder)
    shot = tmp_path / "page.png"
    command = [str(CHROMIUM), *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    command += [f"--screenshot={shot}", "--window-size=800,1200", page.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    dom = done.stdout.decode("utf-8")
    assert "<title>T5 from random weights on train.csv</title>" in dom
    assert "<script" not in dom
    assert dom.count("<polyline") == 3
    assert shot.stat().st_size > 20_000
