"""The wheel works without the checkout: it brings its choices, and takes the user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[2]

MINE = """\
# @package _global_
# a model of one's own
model:
  init: random
  architecture:
    model_type: bart
    encoder_layers: 1
    decoder_layers: 1
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout that holds choices of a machine's own."""
    checkout, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, checkout)
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, checkout / name)
    (checkout / "conf" / "local" / "default.yaml").write_text("seed: 1\n", encoding="utf-8")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(checkout)]
    done = subprocess.run([sys.executable, *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("summexp-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the wheel is installed, beside the libraries of this environment."""
    folder = tmp_path_factory.mktemp("installed")
    install = ["-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder)]
    done = subprocess.run(
        [sys.executable, *install, str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def summexp(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the `summexp` command of the wheel in `cwd`."""
    # What PYTHONPATH names comes before the checkout, if that is installed in this environment.
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, str(installed / "bin" / "summexp"), *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def files_in(folder: str) -> set[str]:
    """Return the files of a folder of the checkout, caches aside."""
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT / folder).as_posix() for path in paths}
    return {name for name in names if "__pycache__" not in name and not name.startswith(".")}


def test_holds_every_choice_and_every_file_of_the_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    choices = {name for name in files_in("conf") if not name.startswith("local/")}
    assert len(choices) > 50
    assert {f"summexp/conf/{name}" for name in choices} <= names
    assert {f"summexp/{name}" for name in files_in("src/summexp") if "/." not in name} <= names
    assert any(name.startswith("summexp/reports/templates/") for name in names)


def test_holds_no_choices_of_this_machine(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "summexp/conf/config.yaml" in names
    assert "summexp/conf/local/default.yaml" not in names


def test_trains_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = summexp(installed, tmp_path, "train", "debug=tiny", "output_dir=run")
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "finished"
    assert record["argv"][:2] == ["summexp", "train"]
    assert (tmp_path / "run" / "report.html").stat().st_size > 5000


@pytest.mark.slow
def test_takes_the_users_own_choices(installed: Path, tmp_path: Path) -> None:
    mine = tmp_path / "my_choices" / "model" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text(MINE, encoding="utf-8")
    words = ("--config-dir", "my_choices", "model=mine", "debug=tiny", "output_dir=run")
    done = summexp(installed, tmp_path, "train", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    saved = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert saved["model_type"] == "bart"
    config = OmegaConf.load(tmp_path / "run" / "config.yaml")
    assert config.model.architecture.model_type == "bart"


def test_runs_from_the_wheel_and_not_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import summexp.entry as e, summexp.config.compose as c; print(e.__file__, c.conf_dir())"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    places = done.stdout.split()
    assert len(places) == 2, done.stderr
    assert all(Path(place).is_relative_to(installed) for place in places)
