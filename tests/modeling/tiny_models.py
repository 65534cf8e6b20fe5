"""Models of a few thousand random weights, one of each architecture, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from transformers import (
    GenerationConfig,
    M2M100Tokenizer,
    MBart50Tokenizer,
    NllbTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    T5Tokenizer,
)

from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.modeling.model_builder import CorpusTexts, build_model, build_tokenizer

DOCUMENTS = [
    "The river rose for three days, and then the bridge was closed.",
    "서울시는 내년부터 버스 요금을 올린다고 밝혔다.",
    "A dog found its way home after two years in the mountains.",
    "東京の気温は三十五度を超えた。 More rain is expected.",
]
SUMMARIES = ["Bridge closed after rain.", "버스 요금 인상", "Dog comes home.", "東京、猛暑日"]

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "t5": {},
    "mt5": {"feed_forward_proj": "gated-gelu"},
    "bart": {},
    "mbart": {"decoder_start_token_id": 2},
    "pegasus": {},
    "led": {"attention_window": 8},
    "longt5": {"encoder_attention_type": "transient-global"},
}


DECODER_ONLY = ["gpt2", "llama"]
"""Learned positions and rotary ones, of which only the first share their output layer."""


@dataclass(frozen=True)
class Tiny:
    config: ModelConfig
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def corpus() -> CorpusTexts:
    def texts() -> Iterator[str]:
        yield from DOCUMENTS
        yield from SUMMARIES

    return CorpusTexts("tiny_models", texts)


def config(model_type: str, /, **options: Any) -> ModelConfig:
    """The config of a tiny model; the field `architecture` is added to what its family needs."""
    fields = {"model_type": model_type, **ARCHITECTURES.get(model_type, {})}
    fields |= options.pop("architecture", {})
    if model_type == "mbart":
        options = {"lang": "ko_KR", "forced_bos_token": "ko_KR"} | options
    return ModelConfig(init="random", architecture=fields, **options)


def make(
    chosen: ModelConfig,
    longest_source: int = 40,
    longest_target: int = 12,
    peft: PeftConfig | None = None,
) -> Tiny:
    shape, tokenizer = build_tokenizer(chosen, corpus(), tiny=True, cache_dir=None)
    model = build_model(
        chosen,
        shape,
        tokenizer,
        seed=0,
        longest_source=longest_source,
        longest_target=longest_target,
        tiny=True,
        peft=peft,
    )
    return Tiny(chosen, model, tokenizer)


def load(
    chosen: ModelConfig,
    longest_source: int = 40,
    longest_target: int = 12,
    peft: PeftConfig | None = None,
) -> Tiny:
    """Load trained weights as a run does."""
    shape, tokenizer = build_tokenizer(chosen, corpus(), tiny=False, cache_dir=None)
    model = build_model(
        chosen,
        shape,
        tokenizer,
        seed=0,
        longest_source=longest_source,
        longest_target=longest_target,
        peft=peft,
    )
    return Tiny(chosen, model, tokenizer)


def summarize(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, documents: list[str], **options: Any
) -> list[str]:
    """Generate greedily, and show special tokens."""
    batch = tokenizer(documents, padding=True, return_tensors="pt")
    greedy = GenerationConfig(max_new_tokens=8, do_sample=False, num_beams=1, **options)
    return list(tokenizer.batch_decode(model.eval().generate(**batch, generation_config=greedy)))


def mbart50_tokenizer() -> MBart50Tokenizer:
    """mBART-50's own tokenizer class with all its languages, over a vocabulary of letters."""
    control = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(token, 0.0) for token in control] + [(token, -5.0) for token in _letters()]
    return MBart50Tokenizer(vocab=vocabulary, src_lang="en_XX", tgt_lang="en_XX")


def _letters() -> list[str]:
    return sorted({"▁", *"".join([*DOCUMENTS, *SUMMARIES])} - {" "})


def latin_t5_tokenizer() -> T5Tokenizer:
    """T5's own tokenizer class over a vocabulary of Latin letters and bytes."""
    tokens = ["<pad>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = [(letter, -5.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=[*((token, 0.0) for token in tokens), *letters], extra_ids=0)


def nllb_tokenizer() -> NllbTokenizer:
    """NLLB's own tokenizer class with all its languages, over a vocabulary of letters."""
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *_letters()]
    return NllbTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=[])


def m2m100_tokenizer(folder: Path) -> M2M100Tokenizer:
    """M2M100's own tokenizer class with all its languages; it wants its vocabulary in files."""
    model, vocabulary = folder / "processor.model", folder / "processor.json"
    with model.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*DOCUMENTS, *SUMMARIES]),
            model_writer=file,
            vocab_size=120,
            hard_vocab_limit=False,
            character_coverage=1.0,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    words = [processor.id_to_piece(number) for number in range(3, processor.get_piece_size())]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *words]
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    return M2M100Tokenizer(str(vocabulary), str(model))


def make_loud(model: PreTrainedModel) -> None:
    """Let a tiny say something else of each document; an adapter stays as it is."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".lora_" not in name:
                weight.add_(torch.randn_like(weight) * 0.3)
