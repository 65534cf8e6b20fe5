"""Metrics of the `evaluate` library, written on the spot in the form in which the Hub has them."""

from __future__ import annotations

from pathlib import Path

_HEAD = """\
import datasets
import evaluate
{imports}

TEXT = datasets.Value("string")
ONE = datasets.Features({{"predictions": TEXT, "references": TEXT}})
LIST = datasets.Features({{"predictions": TEXT, "references": datasets.Sequence(TEXT)}})


class Module(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features={features}
        )

    def _compute(self, {arguments}):
        {body}
"""

COVERAGE = """\
rows = []
        for prediction, reference in zip(predictions, references):
            several = [reference] if isinstance(reference, str) else reference
            shares = [len(set(prediction.split()) & set(one.split())) / len(one.split())
                      for one in several]
            rows.append(max(shares) ** power)
        mean = sum(rows) / len(rows)
        return {"score": mean, "rows": rows, "kind": "words", "three": [1, 2, 3], "exact": False}"""
"""The share of the reference's words that the prediction has: the best of several references."""


def write_metric(
    folder: Path,
    body: str = COVERAGE,
    *,
    features: str = "[LIST, ONE]",
    arguments: str = "predictions, references, power=1",
    imports: str = "",
) -> Path:
    """Write a metric's folder and return it; `body` is that of `_compute`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = _HEAD.format(imports=imports, features=features, arguments=arguments, body=body)
    (folder / f"{folder.name}.py").write_text(text, encoding="utf-8")
    return folder
