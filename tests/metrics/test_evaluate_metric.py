"""Real modules of the `evaluate` library, loaded by it from folders."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.metrics.evaluate_modules import write_metric

from summexp.errors import ConfigError
from summexp.metrics.config import MetricConfig
from summexp.metrics.evaluate_metric import EvaluateMetric
from summexp.metrics.score import flat
from summexp.metrics.scorer import SummaryScorer

PREDICTIONS = ["a cat sat", "the dog"]
REFERENCES = ["a cat ran", "the dog"]


def scorer(folder: Path, *names: str, **options: object) -> SummaryScorer:
    chosen = {"names": [*names, f"evaluate:{folder}"], **options}
    config = MetricConfig(**chosen)  # type: ignore[arg-type]
    made = SummaryScorer(config, language="en", references=REFERENCES)
    made.load()
    return made


def test_numbers_and_columns_become_scores_on_their_own_scale(tmp_path: Path) -> None:
    made = scorer(write_metric(tmp_path / "coverage"), "rouge")
    scores = made.score(PREDICTIONS, REFERENCES)
    assert scores.rows["coverage_rows"] == pytest.approx([2 / 3, 1])
    assert "coverage_score" not in scores.rows
    # A number has no interval; the mean of the rows has one.
    assert scores.summary["coverage_score"] == pytest.approx((5 / 6, None, None))
    assert scores.summary["coverage_rows"] == pytest.approx((5 / 6, 2 / 3, 1))
    # A list that is as long as two rows is not one when there are three.
    records = {one.name: one for one in made.records("eval_lead1", scores)}
    assert list(records)[4:] == ["coverage_score", "coverage_rows"]
    score = records["coverage_score"]
    assert (score.metric, score.label) == ("evaluate:coverage", "coverage score")
    assert (score.higher_is_better, score.maximum, score.unit) == (None, None, "")
    assert (score.quality, records["coverage_rows"].quality) == (True, False)
    assert set(flat([score])) == {"eval_lead1_coverage_score"}


def test_a_number_called_as_the_metric_keeps_its_name(tmp_path: Path) -> None:
    folder = write_metric(tmp_path / "style", 'return {"style": 7, "at": float("nan")}')
    made = scorer(folder)
    assert {name: one.value for name, one in made.score(["a"], ["b"]).summary.items()} == {
        "style": 7.0
    }
    assert made.metrics[0].scores[0].label == "style"


def test_the_numbers_of_our_own_metrics_stay(tmp_path: Path) -> None:
    folder = write_metric(tmp_path / "coverage")
    config = MetricConfig(names=["rouge"], aggregate="bootstrap_median")
    alone = SummaryScorer(config, language="en", references=REFERENCES)
    both = scorer(folder, "rouge", aggregate="bootstrap_median")
    ours = alone.score(PREDICTIONS, REFERENCES).summary
    assert both.score(PREDICTIONS, REFERENCES).summary.items() >= ours.items()


def test_arguments_are_given_and_signed(tmp_path: Path) -> None:
    folder = write_metric(tmp_path / "coverage", imports="import regex")
    squared = scorer(folder, evaluate_kwargs={"coverage": {"power": 2}})
    assert squared.score(PREDICTIONS, REFERENCES).rows["coverage_rows"][0] == pytest.approx(4 / 9)
    plain = scorer(folder)
    parts = [one for one in plain.signature.split("|") if "coverage" in one]
    assert parts[0] == "evaluate:coverage"
    name, _, rest = parts[1].partition(":")
    digest, regex, library = rest.split(",")
    assert (name, len(digest)) == ("coverage", 12)
    assert regex.startswith("regex-")
    assert library.startswith("evaluate-")
    assert f"{digest},power=2,regex-" in squared.signature
    write_metric(folder, 'return {"score": 1}')
    changed = scorer(folder)
    assert digest not in changed.signature
    assert changed.score(["a"], ["b"]).summary["coverage_score"].value == 1


def test_of_several_references_all_are_given_where_they_are_taken(tmp_path: Path) -> None:
    predictions, references = ["a cat", "a dog"], [["cats", "a cat"], ["a dog"]]
    every = scorer(write_metric(tmp_path / "coverage"))
    assert every.score(predictions, references).rows["coverage_rows"] == [1, 1]
    # As many in each row, as sacrebleu wants it.
    count = 'return {"most": max(map(len, references)), "least": min(map(len, references))}'
    counted = scorer(write_metric(tmp_path / "count", count, features="LIST"))
    summary = counted.score(predictions, references).summary
    assert (summary["count_most"].value, summary["count_least"].value) == (2, 2)
    assert counted.score(["a"], ["b"]).summary["count_most"].value == 1
    one = scorer(write_metric(tmp_path / "first", features="ONE"))
    assert one.score(predictions, references).rows["first_rows"] == [0, 1]


def test_a_metric_that_reads_the_documents_has_them(tmp_path: Path) -> None:
    folder = write_metric(
        tmp_path / "copied",
        'return {"score": sum(p in s for p, s in zip(predictions, sources))}',
        features='datasets.Features({**ONE, "sources": TEXT})',
        arguments="predictions, references, sources",
    )
    made = scorer(folder)
    scores = made.score(["cat", "dog"], ["x", "y"], ["a cat sat", "a cow"])
    assert scores.summary["copied_score"].value == 1


def test_one_that_fails_for_some_rows_is_left_out_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_metric(tmp_path / "ratio", 'return {"score": 1 / sum(map(len, predictions))}')
    made = scorer(folder, "rouge")
    with caplog.at_level(logging.WARNING):
        scores = made.score(["", ""], REFERENCES)
    assert "rouge1" in scores.summary
    assert "ratio_score" not in scores.summary
    assert "skipping evaluate:ratio: ZeroDivisionErr" in caplog.text
    assert made.score(["ab"], ["c"]).summary["ratio_score"].value == 0.5
    assert made.score([], []).summary == {}


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        ('return {"kind": "words"}', {}, "returns no numbers: kind"),
        ("raise ValueError('lang must be given')", {}, "cannot be computed: ValueError: lang must"),
        ('return {"score": 1}', {"imports": "1 / 0"}, "cannot be loaded: ZeroDivisionError"),
        ('return {"score": 1}', {"imports": "import no_such_one"}, "Run pip install no_such_one"),
        (
            'return {"score": 1}',
            {"features": 'datasets.Features({"predictions": datasets.Value("int32")})'},
            "does not compare texts",
        ),
    ],
)
def test_a_metric_that_cannot_be_computed_is_reported(
    tmp_path: Path, body: str, options: dict[str, str], message: str
) -> None:
    folder = write_metric(tmp_path / "broken", body, **options)
    with pytest.raises(ConfigError) as error:
        scorer(folder)
    (problem,) = error.value.problems
    assert problem.key == "metric.names"
    assert problem.what.startswith("evaluate:broken ")
    assert message in f"{problem.what}\n{problem.hint}"


def test_what_is_missing_is_found_without_running_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_MODULES_CACHE", raising=False)

    def problems(path: str, *, offline: bool = False) -> list[str]:
        metric, config = EvaluateMetric(path), MetricConfig()
        found = metric.check_requirements(config, None, offline=offline, tiny=False)
        return [f"{one.what} {one.hint}" for one in found]

    folder = write_metric(tmp_path / "broken", imports="raise SystemExit\nimport json, sklearn_x.y")
    assert problems(str(folder)) == [
        "evaluate:broken needs packages that are not installed: sklearn_x Run pip install sklearn_x"
    ]
    assert "there is no nowhere/at/all/all.py" in problems("nowhere/at/all")[0]
    # Whether the Hub has it shows when it is loaded.
    assert problems("sacrebleu") == problems("owner/style") == []
    assert "is not in the cache" in problems("sacrebleu", offline=True)[0]
    cached = tmp_path / "home/modules/evaluate_modules/metrics/evaluate-metric--sacrebleu/ab12"
    write_metric(cached)
    (cached / "sacrebleu.py").touch()
    assert problems("sacrebleu", offline=True) == []


def test_the_example_in_the_docs_is_a_metric(tmp_path: Path) -> None:
    docs = Path(__file__).parents[2] / "docs" / "metrics.md"
    if not docs.exists():
        pytest.skip(f"not a checkout: {docs} is missing")
    code = docs.read_text(encoding="utf-8").split("```py\n")[1].split("```")[0]
    folder = tmp_path / "coverage"
    folder.mkdir()
    (folder / "coverage.py").write_text(code, encoding="utf-8")
    scores = scorer(folder).score(PREDICTIONS, REFERENCES)
    assert scores.rows["coverage_rows"] == pytest.approx([2 / 3, 1])


@pytest.mark.slow
def test_a_name_is_loaded_from_the_hub_and_then_from_the_cache(tmp_path: Path) -> None:
    root = tmp_path / "hub/spaces/evaluate-metric/overlap/resolve/main"
    write_metric(root.parent / "overlap", imports="import regex").rename(root)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "hub"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    code = """
from summexp.errors import ConfigError
from summexp.metrics.config import MetricConfig
from summexp.metrics.scorer import SummaryScorer
for name in ("overlap", "nothing"):
    config = MetricConfig(names=[f"evaluate:{name}"])
    scorer = SummaryScorer(config, language="en", references=[])
    try:
        print(scorer.score(["a cat"], ["a dog"]).summary[f"{name}_score"].value)
    except ConfigError as error:
        print(error)
"""
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_EVALUATE_OFFLINE": "0",
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", code]
    for offline in ("0", "1"):
        environment["HF_EVALUATE_OFFLINE"] = offline
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "\n0.5\n" in f"\n{done.stdout}", done.stderr
        assert (
            "evaluate:nothing is not a folder with a script of its name, and cannot" in done.stdout
        )
    server.shutdown()
