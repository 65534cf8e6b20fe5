"""BERTScore: similarity of texts by contextual embeddings of an encoder.

T. Zhang, V. Kishore, F. Wu, K. Weinberger, Y. Artzi, BERTScore: Evaluating Text Generation with
BERT (ICLR 2020, arXiv:1904.09675). Without the weights by rarity (idf) and without rescaling, as
their own package has it where neither is asked for. That package is not used: its last release
(0.3.13, 2023) fails on an empty text with transformers 5, and on a tokenizer without a limit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from summexp.errors import ConfigError, Problem
from summexp.metrics.language import primary
from summexp.metrics.metric import Metric, ScoreInfo, Setting, Summaries, columns
from summexp.paths import at_home

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from summexp.metrics.config import MetricConfig

log = logging.getLogger(__name__)

_KEY = "metric.bertscore_model"

BEST_LAYERS = {
    "bert-base-chinese": 8,
    "bert-base-multilingual-cased": 9,
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "deberta-base-mnli": 9,
    "deberta-large-mnli": 18,
    "deberta-xlarge-mnli": 40,
    "distilbert-base-uncased": 5,
    "roberta-base": 10,
    "roberta-large": 17,
    "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
}
"""Encoder, without its owner, to the layer that agrees best with human judgement, as the authors of
BERTScore measured it on WMT16 (`model2layers` of bert-score 0.3.13)."""


def default_model(language: str) -> str:
    """Return the encoder for a language where the config names none: that of bert-score 0.3.13."""
    by_language = {"en": "FacebookAI/roberta-large", "zh": "google-bert/bert-base-chinese"}
    return by_language.get(language, "google-bert/bert-base-multilingual-cased")


def layer_of(model: str, layer: int | None) -> int:
    """Return the layer whose vectors are compared: the given one, else the measured one.

    Raises:
        KeyError: neither is known.
    """
    return BEST_LAYERS[PurePath(model).name] if layer is None else layer


class BertScore(Metric):
    """BERTScore; of several references each score takes the best, as the authors do."""

    name = "bertscore"
    scores = tuple(
        ScoreInfo(
            name=f"bertscore_{kind}",
            label=f"BERTScore {shown}",
            higher_is_better=True,
            maximum=100.0,
            quality=True,
        )
        for kind, shown in (("f1", "F1"), ("precision", "precision"), ("recall", "recall"))
    )
    runs_a_model = True

    def __init__(self, encoder: Encoder | None = None) -> None:
        """Score with an encoder; `prepare` gives it one."""
        self._encoder = encoder

    def check_options(self, config: MetricConfig) -> Iterator[Problem]:
        """Yield what is wrong with `metric.bertscore_…`."""
        if config.bertscore_batch_size < 1:
            yield Problem(key="metric.bertscore_batch_size", what="must be at least 1")
        if config.bertscore_layer is not None and config.bertscore_layer < 1:
            yield Problem(key="metric.bertscore_layer", what="must be at least 1")
        model = config.bertscore_model
        known = model is None or PurePath(model).name in BEST_LAYERS
        if config.bertscore_layer is None and not known:
            yield Problem(
                key="metric.bertscore_layer",
                what=f"is required for {model}, whose best layer is unknown",
                hint="About two thirds of the layers is usual: 8 of 12, 16 of 24.",
            )

    def check_requirements(
        self, config: MetricConfig, language: str | None, *, offline: bool, tiny: bool
    ) -> Iterator[Problem]:
        """Yield why the encoder cannot be loaded, where its name is known before the data are."""
        from summexp.modeling.model_checks import existing_folder, repository_problem

        if tiny or (config.bertscore_model is None and language is None):
            return
        name = config.bertscore_model or default_model(primary(language or "und"))
        if existing_folder(name) is not None:
            return
        if problem := repository_problem(_KEY, name, None, offline=offline):
            yield problem

    def prepare(self, setting: Setting) -> BertScore:
        """Choose the encoder, and read its config but not its weights.

        Raises:
            ConfigError: the model cannot be read, or has fewer layers.
        """
        return BertScore(
            Encoder(setting.config, setting.language, device=setting.device, tiny=setting.tiny)
        )

    @property
    def signature(self) -> str:
        """Encoder, layer and library."""
        assert self._encoder is not None
        return f"bert:{self._encoder.label}"

    def load(self) -> None:
        """Load the encoder's weights."""
        assert self._encoder is not None
        self._encoder.load()

    def compute(self, summaries: Summaries) -> dict[str, list[float]]:
        """Return F1, precision and recall a row, up to 100."""
        assert self._encoder is not None
        pairs = [
            (text, reference)
            for text, row in zip(summaries.predictions, summaries.references, strict=True)
            for reference in row
        ]
        scores = iter(self._encoder.score([text for text, _ in pairs], [one for _, one in pairs]))
        found = [[next(scores) for _ in row] for row in summaries.references]
        rows = [[100.0 * max(column) for column in zip(*one, strict=True)] for one in found]
        return columns(self.scores, rows)


BERTSCORE = BertScore()


class PairScore(NamedTuple):
    """The scores of one pair, each up to 1 (below 0 only where vectors are opposed)."""

    f1: float
    precision: float
    recall: float


class Encoder:
    """Scores pairs of texts with one encoder; its weights are loaded when they are needed."""

    label: str
    """Model, revision, layer and version of transformers, as the metric's signature has them."""

    def __init__(
        self,
        config: MetricConfig,
        language: str,
        *,
        device: torch.device | str = "cpu",
        tiny: bool = False,
    ) -> None:
        """Choose the encoder, and read its config but not its weights.

        Args:
            config: the `metric` group.
            language: of the texts; decides where `metric.bertscore_model` does not.
            device: where texts are encoded; the weights are there only while they are.
            tiny: a few random weights instead, which no file is read for.

        Raises:
            ConfigError: the model cannot be read, or has fewer layers.
        """
        self.model_name = config.bertscore_model or default_model(language)
        self.layer = 1 if tiny else layer_of(self.model_name, config.bertscore_layer)
        self.batch_size = config.bertscore_batch_size
        self.device = device
        self._revision = config.bertscore_revision
        self._loaded: _Loaded | None = None
        if tiny:
            self._loaded = _tiny()
            self.label = "tiny"
        else:
            self.label = self._describe()

    def _describe(self) -> str:
        import transformers

        from summexp.modeling.loading_errors import loading

        with loading(_KEY, self.model_name):
            config = transformers.AutoConfig.from_pretrained(
                self.model_name, revision=self._revision or "main"
            )
        depth = config.num_hidden_layers
        if self.layer > depth:
            raise ConfigError.of(
                key="metric.bertscore_layer",
                what=f"is {self.layer}, and {self.model_name} has {depth} layers",
            )
        named = _public_name(self.model_name, self._revision)
        return f"{named},layer-{self.layer},transformers-{transformers.__version__}"

    def load(self) -> None:
        """Load the weights, unless they are loaded.

        Raises:
            ConfigError: they or the tokenizer cannot be loaded, or it is no encoder.
        """
        if self._loaded is None:
            log.info("loading %s for BERTScore", self.model_name)
            self._loaded = _load(self.model_name, self._revision or "main")

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> list[PairScore]:
        """Score each prediction against the reference of the same place.

        A pair with a text that has no tokens scores 0. What is longer than the encoder takes is cut
        at its end.
        """
        from summexp.upstream.transformers import to_device

        self.load()
        assert self._loaded is not None
        pairs = list(zip(predictions, references, strict=True))
        # Pairs of like length together: less padding.
        order = sorted(range(len(pairs)), key=lambda row: -max(map(len, pairs[row])))
        scores: dict[int, PairScore] = {}
        model = self._loaded.model
        to_device(model, self.device)
        try:
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                found = self._batch([pairs[row] for row in rows], self._loaded)
                scores |= zip(rows, found, strict=True)
        finally:
            to_device(model, "cpu")
        return [scores[row] for row in range(len(pairs))]

    def _batch(self, pairs: Sequence[tuple[str, str]], loaded: _Loaded) -> list[PairScore]:
        predictions, references = zip(*pairs, strict=True)
        return match(
            loaded.vectors(predictions, self.layer, self.device),
            loaded.vectors(references, self.layer, self.device),
        )


class Vectors(NamedTuple):
    """The tokens of some texts."""

    units: torch.Tensor
    """(texts, tokens, size), each of length 1."""
    present: torch.Tensor
    """(texts, tokens), false for padding."""
    counted: torch.Tensor
    """(texts, tokens), false for padding and for the tokens that begin and end each text."""


def match(predictions: Vectors, references: Vectors) -> list[PairScore]:
    """Match each token with the most similar one of the other text (section 3 of the paper).

    Precision is the mean over the prediction's tokens, recall over the reference's. As in the
    authors' package, the special tokens can be matched but do not count themselves.
    """
    similar = predictions.units @ references.units.transpose(1, 2)
    both = predictions.present.unsqueeze(2) & references.present.unsqueeze(1)
    similar = similar.masked_fill(~both, -1.0)
    precision = _mean(similar.amax(dim=2), predictions.counted)
    recall = _mean(similar.amax(dim=1), references.counted)
    both = predictions.counted.any(dim=1) & references.counted.any(dim=1)
    return [
        PairScore(2 * p * r / (p + r) if p + r > 0 else 0.0, p, r) if has else PairScore(0, 0, 0)
        for p, r, has in zip(precision.tolist(), recall.tolist(), both.tolist(), strict=True)
    ]


def _mean(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    return (values * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)


class _Loaded(NamedTuple):
    """A model and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    limit: int | None
    """Most tokens of a text; None where there is no limit."""

    def vectors(self, texts: Sequence[str], layer: int, device: torch.device | str) -> Vectors:
        import torch

        batch = self.tokenizer(
            [text.strip() for text in texts],
            padding=True,
            truncation=self.limit is not None,
            max_length=self.limit,
            return_special_tokens_mask=True,
            return_tensors="pt",
        ).to(device)
        present = batch["attention_mask"].bool()
        with torch.inference_mode():
            output = self.model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                output_hidden_states=True,
            )
            units = torch.nn.functional.normalize(output.hidden_states[layer].float(), dim=-1)
        return Vectors(units, present, present & ~batch["special_tokens_mask"].bool())


def _public_name(model_name: str, revision: str | None) -> str:
    """Return the name of a model for others, with its commit where it comes from the Hub."""
    from huggingface_hub import resolve_revision
    from huggingface_hub.errors import RevisionResolutionError

    folder = Path(at_home(model_name))
    if folder.is_dir():
        # Its path means nothing to others.
        return folder.name
    try:
        # The config was loaded from there, so that the cache knows the commit.
        found = resolve_revision(model_name, revision=revision or "main", local_files_only=True)
    except RevisionResolutionError:
        return model_name
    return f"{model_name}@{found.resolved[:12]}"


def _load(name: str, revision: str) -> _Loaded:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from summexp.modeling.loading_errors import loading

    with loading(_KEY, name), _quiet(), torch.random.fork_rng(devices=[]):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        if getattr(tokenizer, "add_prefix_space", None) is False:
            # A text's first word is to be the token that the same word is elsewhere.
            tokenizer = AutoTokenizer.from_pretrained(
                name, revision=revision, add_prefix_space=True
            )
        model = AutoModel.from_pretrained(name, revision=revision, dtype=torch.float32)
    if tokenizer.pad_token is None:
        raise ConfigError.of(
            key=_KEY,
            what=f"{name} is not an encoder: its tokenizer has no padding token",
            hint="Name an encoder, such as google-bert/bert-base-multilingual-cased.",
        )
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return _Loaded(model.eval(), tokenizer, _limit(model, tokenizer))


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the tokens of the longest text that the model takes."""
    table: Any = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and table is not None and table.padding_idx is not None:
        # RoBERTa counts positions from the one after its padding's.
        positions -= table.padding_idx + 1
    # Tokenizers without a limit name a number of 30 digits.
    given = tokenizer.model_max_length if tokenizer.model_max_length < 1 << 31 else None
    return min((one for one in (positions, given) if one is not None), default=None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about weights that are not used here, such as those of a head."""
    from transformers.utils import logging as upstream

    before = upstream.get_verbosity()
    upstream.set_verbosity_error()
    try:
        yield
    finally:
        upstream.set_verbosity(before)


def _tiny() -> _Loaded:
    """Return random weights that read bytes, always the same."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    cutter = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    cutter.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    cutter.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(name, vocabulary[name]) for name in special[1:]]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=cutter, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    shape = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(shape).eval()
    return _Loaded(model, tokenizer, _limit(model, tokenizer))
