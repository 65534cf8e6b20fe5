"""BERTScore on encoders of a few random weights, against values computed text by text in NumPy."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tests.local_hub import LocalHub
from transformers import (
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertModel,
    BertTokenizer,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
)

from summexp.errors import ConfigError
from summexp.metrics.bertscore import BERTSCORE, Encoder
from summexp.metrics.config import MetricConfig

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
KNOWN = "a cat sat on the mat dog ran it rain ##ed . all day"
WORDS = [*SPECIAL, *KNOWN.split()]
SHAPE = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
PAIRS = [
    ("a cat sat on the mat", "the cat rained all day ."),
    ("", "a cat"),
    ("a cat", ""),
    ("a dog ran", "a dog ran"),
    ("it rained all day on the mat . the dog ran", "rain"),
    ("a cat " * 40, "the cat sat on the mat . it rained . the dog ran all day on a cat"),
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / "tiny-bert"
    torch.manual_seed(0)
    BertModel(
        BertConfig(vocab_size=len(WORDS), max_position_embeddings=24, **SHAPE)
    ).save_pretrained(folder)
    # Its tokenizer knows of no limit, as that of many a folder.
    BertTokenizer(vocab={w: i for i, w in enumerate(WORDS)}).save_pretrained(folder)
    return folder


def config(model: Path, **options: object) -> MetricConfig:
    given = {"names": ["bertscore"], "bertscore_layer": 2, **options}
    return MetricConfig(bertscore_model=str(model), **given)  # type: ignore[arg-type]


def by_hand(
    folder: Path, prediction: str, reference: str, layer: int
) -> tuple[float, float, float]:
    """F1, precision and recall by the paper's formulas, one text at a time, in NumPy."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def tokens(text: str) -> np.ndarray:
        ids = tokenizer(text.strip(), add_special_tokens=False)["input_ids"][:22]
        ids = [tokenizer.cls_token_id, *ids, tokenizer.sep_token_id]
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        found = states[layer][0].double().numpy()
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    first, second = tokens(prediction), tokens(reference)
    if len(first) == 2 or len(second) == 2:
        return 0.0, 0.0, 0.0
    similar = first @ second.T
    precision = float(np.mean([max(row) for row in similar[1:-1]]))
    recall = float(np.mean([max(column) for column in similar.T[1:-1]]))
    return 2 * precision * recall / (precision + recall), precision, recall


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
def test_scores_by_hand(bert: Path, layer: int, batch_size: int) -> None:
    scorer = Encoder(config(bert, bertscore_layer=layer, bertscore_batch_size=batch_size), "en")
    predictions, references = zip(*PAIRS, strict=True)
    scores = scorer.score(predictions, references)
    for found, (prediction, reference) in zip(scores, PAIRS, strict=True):
        assert found == pytest.approx(by_hand(bert, prediction, reference, layer), abs=1e-5)
    assert scores[1] == scores[2] == (0, 0, 0)
    assert scores[3] == pytest.approx((1, 1, 1), abs=1e-5)
    assert 0.1 < scores[0].f1 < 0.99


def test_the_authors_package_agrees(bert: Path) -> None:
    # bert-score 0.3.13 on the same weights, made with seed 0 (torch 2.13, transformers 5.23), where
    # it does not fail: "a cat sat on the mat", "the cat rained all day .", layer 2.
    (found,) = Encoder(config(bert), "en").score(*([text] for text in PAIRS[0]))
    assert (found.precision, found.recall, found.f1) == pytest.approx(
        (0.76297, 0.74994, 0.75640), abs=1e-5
    )


def test_training_does_not_see_that_an_encoder_was_loaded(bert: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    Encoder(config(bert), "en").load()
    Encoder(config(bert), "en", tiny=True)
    assert torch.equal(torch.rand(3), expected)


def test_a_tokenizer_that_needs_a_space_before_each_word_gets_it(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-roberta"
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {
        w: i for i, w in enumerate([*special, *"catdog", "Ġ", "Ġc", "Ġca", "Ġcat", "ca", "at"])
    }
    merges = [("Ġ", "c"), ("Ġc", "a"), ("Ġca", "t")]
    RobertaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)
    torch.manual_seed(0)
    # RoBERTa's positions begin after the padding's: 12 of 14 can be used.
    shape = RobertaConfig(
        vocab_size=len(vocabulary), max_position_embeddings=14, pad_token_id=1, **SHAPE
    )
    RobertaModel(shape).save_pretrained(folder)
    scorer = Encoder(config(folder), "en")
    scorer.load()
    assert scorer._loaded is not None
    assert scorer._loaded.limit == 12
    tokenizer = scorer._loaded.tokenizer
    assert tokenizer("cat")["input_ids"] == [0, vocabulary["Ġcat"], 2]
    (found,) = scorer.score(["cat " * 30], ["cat " * 40])
    assert found.f1 == pytest.approx(1, abs=1e-5)


def test_the_label_names_model_layer_and_version_and_no_place(bert: Path) -> None:
    label = Encoder(config(bert), "en").label
    assert label.startswith("tiny-bert,layer-2,transformers-5.")
    assert str(bert.parent) not in label


LABEL = """
from summexp.metrics.bertscore import Encoder
from summexp.metrics.config import MetricConfig
options = {"names": ["bertscore"], "bertscore_layer": 2, "bertscore_model": "owner/bert"}
print(Encoder(MetricConfig(**options), "en").label)
"""


def test_the_label_of_a_model_of_the_hub_names_its_commit(bert: Path, tmp_path: Path) -> None:
    with LocalHub() as hub:
        hub.add_folder("owner/bert", bert)
        commit = hub.repositories["model", "owner/bert"].commit("main")
        environment = {**os.environ, **hub.environment(tmp_path)}
        # The second one finds all in the cache.
        labels = [
            subprocess.check_output(
                [sys.executable, "-c", LABEL], env={**environment, **more}, text=True
            )
            for more in ({}, {"HF_HUB_OFFLINE": "1"})
        ]
    expected = f"owner/bert@{commit[:12]},layer-2,transformers-{transformers.__version__}\n"
    assert labels == [expected] * 2


def test_the_encoder_depends_on_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Encoder, "_describe", lambda _: "")
    chosen = MetricConfig(names=["bertscore"])
    named = [
        (Encoder(chosen, code).model_name, Encoder(chosen, code).layer) for code in ("en", "ko")
    ]
    assert named == [
        ("FacebookAI/roberta-large", 17),
        ("google-bert/bert-base-multilingual-cased", 9),
    ]


def test_tiny_encoders_need_no_file() -> None:
    tiny = Encoder(MetricConfig(names=["bertscore"]), "ko", tiny=True)
    same, other, empty = tiny.score(["고양이", "고양이", ""], ["고양이", "a dog", "x"])
    assert same.f1 == pytest.approx(1, abs=1e-5)
    assert 0 < other.f1 < 0.999
    assert empty == (0, 0, 0)
    assert tiny.label == "tiny"


def test_mistakes(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bertscore_layer: is 4, and .*tiny-bert has 3 layers"):
        Encoder(config(bert, bertscore_layer=4), "en")
    with pytest.raises(ConfigError, match=r"metric\.bertscore_model.*cannot be loaded"):
        Encoder(config(tmp_path), "en")
    assert math.isfinite(Encoder(config(bert), "en").score(["a"], ["a"])[0].f1)


def test_the_encoder_must_be_at_hand_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    def problems(
        language: str | None = None, *, offline: bool = True, **options: object
    ) -> list[str]:
        config = MetricConfig(**{"names": ["bertscore"], **options})  # type: ignore[arg-type]
        found = list(BERTSCORE.check_requirements(config, language, offline=offline, tiny=False))
        assert {one.key for one in found} <= {"metric.bertscore_model"}
        return [one.what for one in found]

    assert "FacebookAI/roberta-large is not in the cache" in problems("en-GB")[0]
    assert "multilingual" in problems("ko")[0]
    assert problems("en", offline=False) == []
    # Which one it will be, the summaries decide.
    assert problems() == []
    folder = tmp_path / "roberta-large"
    there = {"bertscore_model": str(folder)}
    assert "there is no folder" in problems(offline=False, **there)[0]
    folder.mkdir()
    assert problems(**there) == []
