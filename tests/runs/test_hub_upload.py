"""Uploads with the real client to a local server that answers as the Hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests import in_process
from tests.local_hub import LocalHub

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.errors import ConfigError

MODEL = {"config.json", "generation_config.json", "model.safetensors"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}
ADAPTER = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
SCORES = {f"{name}_results.json" for name in ("train", "eval", "predict", "all")}
ALWAYS = {*MODEL, *TOKENIZER, *ADAPTER, *SCORES, "README.md"}

_PUSHES = """
import json, logging, os, sys
from dataclasses import replace
from pathlib import Path
from summexp.command_line import parse
from summexp.errors import RunError
from summexp.check import check
from summexp.runs.hub_upload import push, push_checkpoint

logging.basicConfig(level=logging.INFO, format="%(message)s")
for handle in ("httpx", "httpx2", "huggingface_hub"):
    logging.getLogger(handle).setLevel(logging.ERROR)
folder = Path(sys.argv[1])
for name, words in json.load(sys.stdin).items():
    logging.info("== %s", name)
    if name == "me/without-token":
        del os.environ["HF_TOKEN"]
    words = ["training.push_to_hub=true", f"training.hub_model_id={name}", *words]
    (job,) = check(parse(words))
    config = replace(job.config, output_dir=str(folder))
    try:
        if config.training.hub_strategy == "every_save":
            push_checkpoint(config, folder, folder / "checkpoint-2")
        push(config, folder)
    except RunError as error:
        logging.error("%s", error)
"""


def composed(*words: str) -> Config:
    return check(parse(list(words)))[0].config


@dataclass
class Pushed:
    """What came of some uploads."""

    folder: Path
    files: dict[str, dict[str, bytes]]
    """Repository to its files."""
    reported: dict[str, str]
    """Repository to what was printed about it."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that holds what nobody should see."""
    place = tmp_path_factory.mktemp("ann") / "secret place"
    place.mkdir()
    rows = [
        {"document": f"The river rose by {n} metres. People left.", "summary": f"Rowmarker {n}."}
        for n in range(8)
    ]
    for name in ("train", "dev", "test"):
        (place / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = [f'data.{split}_file="{place / name}.jsonl"' for split, name in _SPLITS.items()]
    words = ["debug=tiny", "data=custom_json", "peft=lora", "training.do_predict=true"]
    folder = place / "run"
    in_process.run(*words, *files, folder=folder)
    _spoil(folder, place)
    return folder


@pytest.fixture(scope="module")
def pushed(finished: Path) -> Pushed:
    """Uploads of one run to several repositories, some of which the Hub refuses."""
    pushes: dict[str, list[str]] = {
        "me/plain": [],
        "me/private": ["training.hub_private_repo=true"],
        "me/all": ["hub.include=[report,predictions,config,record]"],
        "me/saves": ["training.hub_strategy=every_save"],
        "me/saves-lora": ["training.hub_strategy=every_save", "peft=lora"],
        "me/was-public": ["training.hub_private_repo=true"],
        "other/name": [],
        "me/absent-branch": ["training.hub_revision=absent"],
        "me/gone": [],
        "me/without-token": [],
    }
    pushes = {name: ["training.hub_strategy=end", *words] for name, words in pushes.items()}
    with LocalHub() as hub:
        hub.add("me/was-public", {}, repo_type="model")
        hub.answers = {"me/gone/preupload": 404}
        done = _run(finished, pushes, hub)
    reported = dict(part.split("\n", 1) for part in done.split("== ")[1:])
    found = {repo.repo_id: repo.revisions["main"] for repo in hub.repositories.values()}
    return Pushed(finished, found, reported)


@pytest.fixture(scope="module")
def retried(finished: Path) -> Pushed:
    """Uploads to a Hub that the client tries again, for half a minute, before it gives up."""
    with LocalHub() as hub:
        hub.answers = {"models/me/busy": 503, "me/cut": 0}
        done = _run(finished, {"me/busy": [], "me/cut": []}, hub)
        reported = dict(part.split("\n", 1) for part in done.split("== ")[1:])
    reported["no-hub"] = _run(finished, {"me/x": []}, hub)
    return Pushed(finished, {}, reported)


_SPLITS = {"train": "train", "validation": "dev", "test": "test"}


def _spoil(folder: Path, place: Path) -> None:
    """Put into a run folder what nobody should see."""
    record = json.loads((folder / "run.json").read_text())
    diff = f"+DB_PASSWORD = 'hunter2'  # {place}"
    record["git"] = {"commit": "abc", "dirty": True, "diff": diff}
    record["argv"] = [f"{place}/train.py", f"data.train_file={place}/train.jsonl"]
    (folder / "run.json").write_text(json.dumps(record))
    (place / "id_rsa").write_text("hunter2")
    (folder / "vocab.txt").symlink_to(place / "id_rsa")
    for name in (".env", "notes.txt", "train.log", "model.safetensors.bak", "tracking/events.1"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("hunter2")


def _run(folder: Path, pushes: dict[str, list[str]], hub: LocalHub) -> str:
    environment = {**os.environ, "HF_TOKEN": "hf_standin"}
    done = subprocess.run(
        [sys.executable, "-c", _PUSHES, str(folder)],
        input=json.dumps(pushes),
        env=environment | hub.environment(folder.parent / "hf"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_model_card_and_scores_are_all_that_is_uploaded(pushed: Pushed) -> None:
    assert pushed.files["me/plain"].keys() == ALWAYS
    for name in MODEL:
        assert pushed.files["me/plain"][name] == (pushed.folder / name).read_bytes()


def test_nothing_names_this_machine_or_shows_the_rows(pushed: Pushed) -> None:
    place = str(pushed.folder.parent.parent).encode()
    for repository, files in pushed.files.items():
        for name, content in files.items():
            assert place not in content, (repository, name)
            assert b"hunter2" not in content, (repository, name)
            assert b"secret place" not in content, (repository, name)
    for name, content in pushed.files["me/plain"].items():
        assert b"Rowmarker" not in content or name == "tokenizer.json", name
    assert pushed.folder.parent.joinpath("id_rsa").read_text() == "hunter2"


def test_more_is_uploaded_where_it_is_asked_for(pushed: Pushed) -> None:
    files = pushed.files["me/all"]
    more = {"report.md", "report.html", "generated_predictions.jsonl", "config.yaml", "run.json"}
    assert files.keys() == ALWAYS | more
    predictions = pushed.folder / "generated_predictions.jsonl"
    assert files["generated_predictions.jsonl"] == predictions.read_bytes()
    record = json.loads(files["run.json"])
    assert record["git"] == {"commit": "abc", "dirty": True}
    assert record["argv"] == ["train.py", "data.train_file=train.jsonl"]
    assert "examples" not in record
    assert b"Rowmarker" not in files["run.json"]
    assert b"train_file: train.jsonl" in files["config.yaml"]
    assert b"Rowmarker" in files["report.md"]


def test_what_goes_where_is_logged_before(pushed: Pushed) -> None:
    lines = pushed.reported["me/plain"].splitlines()
    assert lines[0].startswith("uploading to http://127.0.0.1:")
    assert lines[0].endswith("/me/plain (public: everybody can read it)")
    listed = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line[:2] == "  "}
    assert listed.keys() == ALWAYS
    assert listed["model.safetensors"].endswith(" kB")
    assert lines[-1].startswith("uploaded to ")
    assert not any("not uploaded" in pushed.reported[name] for name in ("me/private", "me/all"))
    assert "/me/private (private)" in pushed.reported["me/private"]


def test_the_model_of_a_checkpoint_is_uploaded_while_training_continues(pushed: Pushed) -> None:
    assert pushed.reported["me/saves"].count("uploading to") == 2
    assert "not uploaded" not in pushed.reported["me/saves"]
    assert pushed.files["me/saves"].keys() == ALWAYS
    # Until it is merged, an adapter makes no model for others.
    assert pushed.reported["me/saves-lora"].count("uploading to") == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("me/was-public", "it is public, and training.hub_private_repo=true"),
        ("other/name", "the token has no write access: set HF_TOKEN to a token with write access"),
        ("me/absent-branch", "it has no branch absent (training.hub_revision)"),
        ("me/gone", "no such repository: check training.hub_model_id"),
        ("me/without-token", "no valid token: set HF_TOKEN to a token with write access"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (
                ("me/busy", "the Hub answered with 503: try again later"),
                ("me/cut", "cannot be reached (Server disconnected"),
                ("no-hub", "cannot be reached ([Errno 111] Connection refused): try again"),
            )
        ),
    ],
)
def test_an_error_is_one_sentence_and_reports_how_to_resume(
    name: str, reason: str, request: pytest.FixtureRequest
) -> None:
    is_retried = name in ("me/busy", "me/cut", "no-hub")
    pushed: Pushed = request.getfixturevalue("retried" if is_retried else "pushed")
    reported = pushed.reported[name]
    assert reason in reported
    assert f"the run in {pushed.folder} is finished, but was not uploaded to " in reported
    assert "Run the same command again to upload it, without training." in reported
    assert "Traceback" not in reported
    if name in pushed.files:
        assert pushed.files[name] == {}


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (["training.push_to_hub=true"], r"training\.hub_model_id: is not set"),
        (
            ["training.hub_model_id=a/b/c"],
            r"training\.hub_model_id: 'a/b/c' is not a repository name",
        ),
        (
            ["output_dir=my summarizer"],
            r"training\.hub_model_id: 'my summarizer' is not a repository name",
        ),
        (
            ["output_dir=mine", "training.hub_strategy=checkpoint"],
            r"training\.hub_strategy: checkpoint would upload checkpoints",
        ),
        (["output_dir=mine", "hub.include=[diff]"], r"hub\.include: there is no part .* 'diff'"),
    ],
)
def test_what_cannot_be_uploaded_is_rejected_before_the_run(
    words: list[str], reported: str
) -> None:
    with pytest.raises(ConfigError, match=reported):
        composed("training.push_to_hub=true", *words)


def test_an_output_dir_names_a_repository() -> None:
    composed("training.push_to_hub=true", "output_dir=my-summarizer")
