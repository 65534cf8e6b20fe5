import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from summexp.metrics.config import MetricConfig
from summexp.metrics.evaluate_metric import SummaryMetric
from summexp.metrics.scorer import SummaryScorer

scorer = SummaryScorer(MetricConfig(bootstrap_samples=0), language="en", references=[])
metric = SummaryMetric(scorer)
word = sys.argv[1]
for _ in range(2):
    for _ in range(20):
        metric.add_batch(predictions=["cat", word], references=["cat", "dog"])
    print(metric.compute()["rouge1"])
print(metric.compute(predictions=[word], references=["dog"])["rougeLsum"])
"""


@pytest.mark.slow
def test_offline_and_two_processes_at_once(tmp_path: os.PathLike[str]) -> None:
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    # `evaluate.load("rouge")` would take this for the metric.
    own = Path(tmp_path, "rouge", "rouge.py")
    own.parent.mkdir()
    own.write_text("raise SystemExit('a folder of the user')")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, word],
            env=env,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        for word in ("dog", "cow")
    ]
    out = [process.communicate(timeout=300)[0].split() for process in processes]
    assert [float(value) for value in out[0]] == pytest.approx([100, 100, 100])
    assert [float(value) for value in out[1]] == pytest.approx([50, 50, 0])
