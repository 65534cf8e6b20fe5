from pathlib import Path

import pytest

from summexp.metrics.config import MetricConfig
from summexp.metrics.encoder_check import check_encoder


def test_the_encoder_must_be_at_hand_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def problems(
        language: str | None = None, *, offline: bool = True, **options: object
    ) -> list[str]:
        config = MetricConfig(**{"names": ["bertscore"], **options})  # type: ignore[arg-type]
        found = list(check_encoder(config, language, offline=offline))
        assert {one.key for one in found} <= {"metric.bertscore_model"}
        return [one.what for one in found]

    assert "FacebookAI/roberta-large was not downloaded" in problems("en-GB")[0]
    assert "multilingual" in problems("ko")[0]
    assert problems("en", offline=False) == []
    assert problems("en", names=["rouge"]) == []
    # Which one it will be, the summaries decide.
    assert problems() == []
    folder = tmp_path / "roberta-large"
    there = {"bertscore_model": str(folder)}
    assert "there is no folder" in problems(offline=False, **there)[0]
    folder.mkdir()
    assert problems(**there) == []
