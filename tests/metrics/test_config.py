import subprocess
import sys

import pytest

from summexp.errors import ConfigError
from summexp.metrics.bertscore import default_model, layer_of
from summexp.metrics.config import MetricConfig
from summexp.metrics.registry import METRICS, chosen_metrics
from summexp.metrics.word_tokenizer import WordTokenizer
from summexp.modeling.config import ModelConfig
from summexp.options import declared_choices, field_docs


def test_every_mistake_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        MetricConfig(bootstrap_samples=-1, confidence=1.0, decimals=-2)
    assert [p.key for p in error.value.problems] == [
        "metric.bootstrap_samples",
        "metric.confidence",
        "metric.decimals",
    ]


def test_median_needs_resamples() -> None:
    with pytest.raises(ConfigError, match=r"metric\.aggregate.*bootstrap_samples is 0"):
        MetricConfig(aggregate="bootstrap_median", bootstrap_samples=0)


def test_every_tokenizer_that_is_allowed_exists() -> None:
    allowed = dict(declared_choices(MetricConfig))["tokenizer"]
    for name in allowed:
        assert WordTokenizer("en", tokenizer=name)("cat 2") == ["cat", "2"], name


def test_config_and_language_are_cheap() -> None:
    code = (
        "import sys, summexp.metrics.config, summexp.metrics.language;"
        "heavy = {'numpy', 'nltk', 'torch', 'transformers', 'datasets', 'evaluate', 'regex'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_names_of_metrics() -> None:
    with pytest.raises(ConfigError, match=r"metric\.names: there is no metric 'rogue'") as error:
        MetricConfig(names=["rogue", "novelty"])
    assert "Did you mean 'rouge'?" in str(error.value)
    with pytest.raises(ConfigError, match=r"metric\.names: is empty"):
        MetricConfig(names=[])


def test_the_layer_of_an_unknown_encoder_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"metric\.bertscore_layer: is required for my/encoder"):
        MetricConfig(names=["bertscore"], bertscore_model="my/encoder")
    MetricConfig(names=["bertscore"], bertscore_model="my/encoder", bertscore_layer=3)
    with pytest.raises(
        ConfigError, match=r"metric\.bertscore_model: has no effect without the metric b"
    ):
        MetricConfig(bertscore_model="my/encoder")
    assert layer_of("some/folder/roberta-large", None) == 17
    assert layer_of("FacebookAI/roberta-large", 3) == 3
    for language in ("en", "zh", "ko"):
        assert layer_of(default_model(language), None) in (17, 8, 9)


def test_a_folder_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/mina")
    config = MetricConfig(names=["bertscore"], bertscore_model="~/enc", bertscore_layer=1)
    assert config.bertscore_model == "/home/mina/enc"
    assert ModelConfig(name_or_path="~/t5", tokenizer_name="a~/b").name_or_path == "/home/mina/t5"


def test_the_names_of_all_metrics_are_documented() -> None:
    documented = field_docs(MetricConfig)["names"].partition(";")[0]
    assert documented == f"Any of {', '.join(METRICS)}"


def test_metrics_of_the_evaluate_library_are_named_by_prefix() -> None:
    config = MetricConfig(
        names=["rouge", "evaluate:./metrics/coverage/", "evaluate:owner/style"],
        evaluate_kwargs={"style": {"lang": "ko"}},
    )
    metrics = chosen_metrics(config.names)
    assert [one.name for one in metrics] == ["rouge", "evaluate:coverage", "evaluate:style"]
    assert (config.kwargs_of("style"), config.kwargs_of("coverage")) == ({"lang": "ko"}, {})
    with pytest.raises(ConfigError) as error:
        MetricConfig(
            names=["evaluate:", "evaluate:a/b", "evaluate:c/b"],
            evaluate_kwargs={"a": {"x": 1}, "b": "x"},
        )
    whats = [f"{one.key} {one.what}" for one in error.value.problems]
    assert whats == [
        "metric.names 'evaluate:' has no metric name",
        "metric.names has 2 metrics named b, whose scores would clash",
        "metric.evaluate_kwargs.a has no effect: metric.names has no evaluate:a",
        "metric.evaluate_kwargs.b must be arguments by name, not 'x'",
    ]
