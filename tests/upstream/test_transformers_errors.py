"""Whether transformers still words its errors as `summexp.upstream.transformers_errors` reads them.

What becomes of them is tested in tests/modeling/test_model_builder.py and
tests/engines/test_schemas.py.
"""

from __future__ import annotations

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import GenerationConfig, Seq2SeqTrainingArguments, T5Config

from summexp.upstream.transformers_errors import (
    OPTION_ERRORS,
    generation_remarks,
    invalid_config,
    rejection,
)


def test_a_wrong_type_in_a_config_is_one_sentence() -> None:
    with pytest.raises(StrictDataclassError) as caught:
        T5Config(d_model="wide")
    text = invalid_config(caught.value)
    assert text.startswith("Field 'd_model' expected int, got str"), text
    assert "alidation error" in str(caught.value), "there is only one any more"


def test_the_options_that_a_generation_config_rejects_are_listed() -> None:
    config = GenerationConfig(do_sample=False, temperature=0.3, top_p=0.2)
    with pytest.raises(ValueError, match="temperature") as caught:
        config.validate(strict=True)
    assert set(generation_remarks(caught.value)) == {"temperature", "top_p"}
    assert generation_remarks(ValueError("something else")) == {}


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"optim": "absent"}, "training.optim"),
        ({"lr_scheduler_type": "absent"}, "training.lr_scheduler_type"),
        ({"eval_strategy": "steps", "eval_steps": 0, "logging_steps": 0}, "training.eval_steps"),
    ],
)
def test_an_error_about_an_option_names_its_key(options: dict[str, object], key: str) -> None:
    with pytest.raises(OPTION_ERRORS) as caught:
        Seq2SeqTrainingArguments("unused", use_cpu=True, report_to="none", **options)
    names = Seq2SeqTrainingArguments.__dataclass_fields__
    found = rejection("training", caught.value, options, names)
    assert found.key == key
    assert "--" not in found.what
