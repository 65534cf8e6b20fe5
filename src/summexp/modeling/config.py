"""Config groups `model` and `peft`: the model to fine-tune and its adapter."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from summexp.errors import ConfigError, Problem
from summexp.options import choice, open_mapping
from summexp.paths import at_home

TARGET_PREFIX = "\nTL;DR:\n"
"""Where nothing else is set, what tells a decoder-only model that a summary follows: how GPT-2 was
made to write them (Radford et al. 2019, 3.6). The summary has a line of its own, so that it begins
with the tokens of the text as it is, and not with those of a space and the text."""


@dataclass(kw_only=True)
class ModelConfig:
    """A model by its Hub name or folder, or random weights of any architecture and size."""

    name_or_path: str | None = None
    """Hub repository (`google-t5/t5-small`) or local folder of the model."""
    config_name: str | None = None
    """Repository or folder of the model's config, where it is not the model's own."""
    tokenizer_name: str | None = None
    """Repository or folder of the tokenizer, where it is not the model's own."""
    revision: str | None = None
    """Branch, tag or commit of the model's repository."""
    cache_dir: str | None = None
    """Folder for downloaded models; the Hugging Face cache if not set."""
    use_fast_tokenizer: bool = True
    """Take the tokenizer that is written in Rust, where the model has both."""
    trust_remote_code: bool = False
    """Run model code that lies in the repository. Only for repositories whose code you have
    read."""
    source_prefix: str | None = None
    """Text put before every document; T5 was trained with `summarize: `."""
    target_prefix: str | None = None
    """Text put between document and summary, which a decoder-only model reads as one text; a line
    that says `TL;DR:` if not set."""
    lang: str | None = None
    """The model's own code of the text's language, for multilingual models (mBART: `ko_KR`)."""
    forced_bos_token: str | None = None
    """Token that every generated summary starts with; multilingual models want the language's."""
    resize_position_embeddings: bool | None = None
    """Extend too few position embeddings (true), stop (false), or extend and log it (not set)."""
    dtype: str = choice("float32", "auto", "float32", "bfloat16", "float16")
    """Number type of the weights; mixed precision is `hardware`'s and leaves this at float32."""
    attn_implementation: str | None = choice(
        None, "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"
    )
    """How attention is computed; transformers chooses if not set."""
    init: str = choice("pretrained", "pretrained", "random")
    """Start from the trained weights, or from random ones of the shape in `architecture`."""
    architecture: Any = open_mapping()
    """Fields of the model's own config, for `init: random`; `model_type` names its family. Trained
    weights keep their own, dropout aside; a field that differs is logged."""
    freeze: list[str] = field(default_factory=list)
    """Parts whose weights stay as they are: `encoder`, `decoder`, `embeddings`, or a pattern of
    weight names."""

    def __post_init__(self) -> None:
        for key in ("name_or_path", "config_name", "tokenizer_name", "cache_dir"):
            if (path := getattr(self, key)) is not None:
                setattr(self, key, at_home(path))
        problems = []
        if self.init == "pretrained" and not self.name_or_path:
            problems.append(
                Problem(
                    key="model.name_or_path",
                    what="is not set, and model.init=pretrained needs it",
                    hint="Name a Hub repository or a folder, or set model.init=random.",
                )
            )
        if self.init == "random" and not (
            self.architecture.get("model_type") or self.config_name or self.name_or_path
        ):
            problems.append(
                Problem(
                    key="model.architecture.model_type",
                    what="is not set, and model.init=random needs it",
                    hint="Set it, for example model.architecture.model_type=t5.",
                )
            )
        if "\\n" in (self.target_prefix or ""):
            problems.append(
                Problem(
                    key="model.target_prefix",
                    what="contains a backslash and an n, which is not a line break",
                    hint="Write it in a YAML file, in double quotes, or in bash as "
                    "$'model.target_prefix=\"\\nTL;DR:\\n\"'.",
                )
            )
        if problems:
            raise ConfigError(problems)


@dataclass(kw_only=True)
class PeftConfig:
    """Parameter-efficient fine-tuning: a small adapter is trained, and merged into the saved model.

    The other keys are those of peft's `LoraConfig`.
    """

    name: str = choice("none", "none", "lora")
    """The method; `none` trains every weight that is not frozen, `lora` an adapter alone."""
    rank: int = 8
    """Rank of the change to each weight matrix: the adapter's size."""
    alpha: float = 16.0
    """The change is scaled by alpha / rank."""
    dropout: float = 0.05
    """Dropout of what goes into the adapter."""
    target_modules: list[str] = field(default_factory=list)
    """Linear layers to adapt, by the end of their names, or `all-linear` (the output layer aside);
    if not set, queries and values of every attention."""
    modules_to_save: list[str] = field(default_factory=list)
    """Modules that are trained whole beside the adapter, such as `embed_positions`."""
    bias: str = choice("none", "none", "all", "lora_only")
    """Biases that are trained too: none, all, or those of the adapted layers."""
    use_rslora: bool = False
    """Scale the change by alpha / sqrt(rank), for high ranks."""
    use_dora: bool = False
    """Train each weight's magnitude apart from its direction (DoRA); slower."""

    def __post_init__(self) -> None:
        problems = []
        if self.name == "none":
            for spec in fields(self):
                default = [] if spec.default is MISSING else spec.default
                if spec.name != "name" and getattr(self, spec.name) != default:
                    what, hint = "has no effect with peft=none", "Choose peft=lora."
                    problems.append(Problem(key=f"peft.{spec.name}", what=what, hint=hint))
        if self.rank < 1:
            problems.append(Problem(key="peft.rank", what=f"is {self.rank}, and 1 is the least"))
        if not 0 < self.alpha < math.inf:
            problems.append(Problem(key="peft.alpha", what=f"is {self.alpha}, and must be above 0"))
        if not 0 <= self.dropout < 1:
            what = f"is {self.dropout}, must be at least 0 and below 1"
            problems.append(Problem(key="peft.dropout", what=what))
        if problems:
            raise ConfigError(problems)
