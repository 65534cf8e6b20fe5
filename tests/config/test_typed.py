from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from summexp.check import check
from summexp.command_line import parse
from summexp.config.typed import load_config
from summexp.errors import ConfigError


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model=mbart50", "model.lang=ko_KR", "data=xlsum", "data.config_name=korean"],
        [
            "experiment=hf_parity",
            "metric.sentences=sentencex",
            "model=t5_small",
            "data=cnn_dailymail",
        ],
        ["debug=tiny", "model=bart_base", "data=custom_csv"],
        ["training.gradient_checkpointing_kwargs={n: 2}", "generation.bad_words_ids=[[1,2],[3]]"],
        ["model.freeze=[encoder]", "tracking.tags=[a,'b c']", "training.save_strategy='no'"],
        ["data.summary_column=summary", "training.learning_rate=1e-7", "output_dir=runs/one"],
        ["debug=tiny", "data=custom_csv", "data.text_column='본문 1'"],
    ],
)
def test_a_saved_config_loads_as_the_same_config(words: list[str], tmp_path: Path) -> None:
    (job,) = check(parse(words))
    path = tmp_path / "config.yaml"
    OmegaConf.save(OmegaConf.create(asdict(job.config)), path)
    assert load_config(path) == job.config


def test_what_does_not_fit_is_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("seed: 1\nmodl: {}\nmodel:\n  dtype: float8\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    reported = [(problem.key, problem.where) for problem in raised.value.problems]
    assert reported == [("modl", str(path)), ("model.dtype", str(path))]
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "absent.yaml")
