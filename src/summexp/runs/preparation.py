"""What the phases of a run share: its corpus in tokens, its model, and how it is evaluated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset, IterableDataset
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.collate import Collator
from summexp.data.config import DataConfig
from summexp.data.corpus import Corpus, load_corpus
from summexp.data.health import SplitHealth
from summexp.data.phases import Phase
from summexp.data.pieces import Cutting, LongDocuments
from summexp.data.stand_in import needs_stand_in, stand_in_rows
from summexp.data.tokenize import Tokenizing, row_lengths, tokenize, tokenize_stream
from summexp.engines.evaluation import (
    EvaluationSet,
    EvaluationSettings,
    row_references,
    scored_rows,
)
from summexp.engines.upstream import generation_config
from summexp.errors import ConfigError, Problem
from summexp.launch.devices import describe, devices_behind, select_device
from summexp.launch.ranks import gathered, is_main, local_main_first
from summexp.metrics.language import choose_language
from summexp.metrics.scorer import SummaryScorer
from summexp.metrics.sentences import SentenceSplitter
from summexp.modeling.adapters import adapted_modules, adapter_weights, has_adapter
from summexp.modeling.architecture import is_decoder_only, prefix_left_out
from summexp.modeling.build import CorpusTexts, build_model, build_tokenizer
from summexp.modeling.config import TARGET_PREFIX, ModelConfig
from summexp.modeling.kinds import kind_problems
from summexp.modeling.tokenizers import tokenizer_digest
from summexp.runs.environment import cache_dir
from summexp.runs.record import RunRecord
from summexp.runs.resume import RunPlan

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.launch.config import HardwareConfig

log = logging.getLogger(__name__)

_TOKENIZER_ROWS = 20_000
"""Rows that a tokenizer is trained on; more would not change a small vocabulary."""
_SHUFFLED_ROWS = 10_000
"""Rows of a stream among which the next one is drawn."""
_WORTH_A_HINT = 0.1
"""Share of cut documents above which prediction tells of another way."""


@dataclass(frozen=True)
class Prepared:
    """What the phases share."""

    model: PreTrainedModel
    """On its device, with the generation config that every phase uses."""
    tokenizer: PreTrainedTokenizerBase
    """Cuts text into tokens, and puts them together again."""
    collate: Collator
    """Makes batches."""
    settings: EvaluationSettings
    """How the sets are evaluated."""
    train: Dataset | IterableDataset | None
    """Training rows in tokens, where the run trains."""
    validation: list[EvaluationSet]
    """The validation sets, where the run evaluates."""
    test: EvaluationSet | None
    """The rows to predict, where the run predicts."""


def prepare_run(config: Config, folder: Path, record: RunRecord, plan: RunPlan) -> Prepared:
    """Read the corpus, cut it into tokens, and make or load the model.

    Raises:
        ConfigError: what could not be known more cheaply: columns of a Hub dataset, keys of an
            architecture, a repository that is not there.
    """
    chosen, tiny = _model_choice(config, folder, plan)
    cache = None if config.debug.tiny else cache_dir()
    # The first rank of a node fills the caches, and the others read them.
    with local_main_first() as first:
        if not first:
            # What the cache held before has been overwritten.
            config = replace(config, data=replace(config.data, overwrite_cache=False))
        with record.phase("data"):
            corpus = _load(config, plan)
            if plan.train and plan.goes_on:
                _check_same_rows(corpus, record, folder)
        # What a stream holds is not known beforehand, so its tokenizer has no name in the cache.
        kept = None if isinstance(corpus.train, IterableDataset) else cache
        with record.phase("model"):
            shape, tokenizer = build_tokenizer(chosen, _texts(corpus), tiny=tiny, cache_dir=kept)
            if problems := list(kind_problems(config, decoder_only=is_decoder_only(shape))):
                raise ConfigError(problems)
        if (prefix := prefix_left_out(chosen, shape)) is not None and not tiny:
            log.warning(
                "the model's config has the prefix %r for summaries, and model.source_prefix is "
                "not set: set it to that, or to nothing (model.source_prefix=) if none is wanted",
                prefix,
            )
        with record.phase("data"):
            suffix = _suffix(config, shape)
            splits = _Splits(config, corpus, tokenizer, suffix, cache)
    sets = [*splits.validation, *([splits.test] if splits.test else [])]
    for line in corpus.health.lines():
        log.info("%s", line)
    if splits.test is not None:
        _say_long(config.data, corpus.health.splits["test"], splits.test.long)
    # Sets of one language have one signature; it is said once.
    for scorer in {one.scorer.signature: one.scorer for one in sets if one.scorer}.values():
        log.info("%s", scorer.remark)
    with record.phase("model"):
        model = build_model(
            chosen,
            shape,
            tokenizer,
            seed=config.seed,
            longest_source=splits.longest_source(),
            longest_target=_longest_target(config, shape),
            tiny=tiny,
            # What was trained is merged.
            peft=config.peft if plan.train else None,
        )
        _to_device(model, config.hardware)
    model.generation_config = generation_config(
        model.generation_config,
        config.generation,
        max_length=_length_limit(config, model),
        decoder_only=not model.config.is_encoder_decoder,
    )
    _describe(record, corpus, model, sets, suffix, trains=plan.train)
    half = config.training.fp16 or config.training.bf16
    return Prepared(
        model=model,
        tokenizer=tokenizer,
        collate=Collator(tokenizer, model, config.data, pad_to_multiple_of=8 if half else None),
        settings=_evaluation_settings(config, model),
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
    )


def _to_device(model: PreTrainedModel, hardware: HardwareConfig) -> None:
    if hardware.backend == "xla":
        from summexp.launch.xla import place

        place(model, hardware)
    else:
        model.to(select_device(hardware.backend))


def _model_choice(config: Config, folder: Path, plan: RunPlan) -> tuple[ModelConfig, bool]:
    """Return the model to take (the one trained here, if it is), and whether it is a toy."""
    trained = folder / "config.json"
    if plan.train or not plan.goes_on or not trained.is_file():
        return config.model, config.debug.tiny
    log.info("the model is the one that was trained in %s", folder)
    taken = replace(
        config.model,
        name_or_path=str(folder),
        init="pretrained",
        config_name=None,
        tokenizer_name=None,
        revision=None,
        architecture={},
        freeze=[],
    )
    return taken, False


def _load(config: Config, plan: RunPlan) -> Corpus:
    phases = set(_phases(config, plan))
    tiny = config.debug.tiny
    rows = stand_in_rows(config.data, phases) if tiny and needs_stand_in(config.data) else None
    corpus = load_corpus(
        config.data,
        phases=phases,
        offline=config.offline,
        cache_dir=cache_dir(),
        in_memory=tiny,
        rows=rows,
    )
    if isinstance(corpus.train, IterableDataset) and next(iter(corpus.train), None) is None:
        raise ConfigError(
            Problem(key="data.streaming", what="the training data have no usable row")
        )
    if config.debug.overfit and isinstance(corpus.train, Dataset):
        corpus = replace(
            corpus,
            train=corpus.train if plan.train else None,
            validation={"validation": corpus.train},
            fingerprints={**corpus.fingerprints, "validation": corpus.fingerprints["train"]},
        )
    return corpus


def _phases(config: Config, plan: RunPlan) -> Iterator[Phase]:
    """Yield the phases whose rows are needed."""
    training = config.training
    in_training = plan.train and training.do_eval and training.eval_strategy != "no"
    # With debug=overfit the training rows are evaluated.
    evaluated: Phase = "train" if config.debug.overfit else "eval"
    if plan.train:
        yield "train"
    if plan.evaluate or in_training:
        yield evaluated
    if plan.predict:
        yield "predict"


def _check_same_rows(corpus: Corpus, record: RunRecord, folder: Path) -> None:
    """Check that training goes on with the rows that it began with."""
    earlier = record.content.get("data", {}).get("fingerprints", {}).get("train")
    now = corpus.fingerprints.get("train")
    if earlier is not None and now is not None and earlier != now:
        raise ConfigError(
            Problem(
                key="data.train_file",
                what=f"the training rows are not those that the run in {folder} began with",
                hint="Bring the old rows back to go on, or choose another output_dir, or "
                "overwrite_output_dir=true.",
            )
        )


def _texts(corpus: Corpus) -> CorpusTexts:
    """Return the texts that a tokenizer is trained on: the training rows, or what there is."""
    rows = next(
        one for one in (corpus.train, *corpus.validation.values(), corpus.test) if one is not None
    )
    fingerprint = next(iter(corpus.fingerprints.values()), "stream")

    def texts() -> Iterator[str]:
        for row in islice(rows, _TOKENIZER_ROWS):
            yield row["document"]
            yield row["summary"] or ""

    return CorpusTexts(corpus.fingerprints.get("train", fingerprint), texts)


class _Splits:
    """The splits of a corpus, tokenized with one tokenizer."""

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        tokenizer: PreTrainedTokenizerBase,
        suffix: str | None,
        cache: Path | None,
    ) -> None:
        self._config = config
        self._corpus = corpus
        self._cache = cache
        self._tokenizing = Tokenizing(
            tokenizer=tokenizer,
            tokenizer_digest=tokenizer_digest(tokenizer),
            prefix=config.model.source_prefix or "",
            suffix=suffix,
            max_source_length=config.data.max_source_length,
            max_target_length=config.data.max_target_length,
        )
        self.train = self._train()
        self.validation = [self._validation(name) for name in corpus.validation]
        self.test = None if corpus.test is None else self._test(corpus.test)

    def longest_source(self) -> int:
        """Return the tokens of the longest document."""
        config = self._config.data
        if config.pad_to_max_length or isinstance(self.train, IterableDataset):
            return config.max_source_length
        sets = [*self.validation, *([self.test] if self.test else [])]
        splits = [*([self.train] if self.train is not None else []), *(one.tokens for one in sets)]
        return max((int(row_lengths(one).max()) for one in splits if len(one)), default=1)

    def _train(self) -> Dataset | IterableDataset | None:
        rows = self._corpus.train
        if rows is None:
            return None
        if isinstance(rows, IterableDataset):
            shuffled = rows.shuffle(seed=self._config.seed, buffer_size=_SHUFFLED_ROWS)
            return tokenize_stream(shuffled, self._tokenizing)
        tokens = self._tokenize("train", rows, self._tokenizing)
        return tokens.select_columns(["input_ids", "labels"])

    def _validation(self, name: str) -> EvaluationSet:
        """Return a validation set; with several, their metrics are called `eval_<name>_…`."""
        rows = self._corpus.validation[name]
        if not self._config.data.validation_files or self._config.debug.overfit:
            return self._set("validation", "eval", rows)
        return self._set(f"validation_{name}", f"eval_{name}", rows)

    def _test(self, rows: Dataset) -> EvaluationSet:
        """Return the rows to predict, the long ones in pieces too if that is asked."""
        test = self._set("test", "predict", rows)
        cut = [number for number, is_cut in enumerate(test.tokens["document_cut"]) if is_cut]
        if self._config.data.long_documents != "chunk" or not cut:
            return test
        long = self._long_documents(cut, rows.select(cut))
        health = self._corpus.health.splits["test"]
        health.chunked_documents, health.truncated_documents = len(cut), 0
        return replace(test, long=long)

    def _long_documents(self, numbers: Sequence[int], documents: Dataset) -> LongDocuments:
        config = self._config.data
        language = choose_language(config.language, documents["document"])
        sentences = SentenceSplitter(language.code)
        cutting = Cutting(
            self._tokenizing,
            sentences,
            overlap=config.chunk_overlap,
            label=f"{language.code}|{sentences.label}",
        )
        content = self._corpus.fingerprints["test"]
        pieces = tokenize(documents, content, cutting, config, self._cache)
        return LongDocuments.of(numbers, pieces, cutting)

    def _set(self, split: str, name: str, rows: Dataset) -> EvaluationSet:
        limit = self._config.data.eval_target_length
        tokenizing = replace(self._tokenizing, max_target_length=limit)
        tokens = self._tokenize(split, rows, tokenizing)
        scored, every = scored_rows(rows), row_references(rows)
        if not scored:
            return EvaluationSet(name, rows, tokens, None, {})
        documents = [rows[number]["document"] for number in scored]
        references = [every[number] for number in scored]
        if self._config.metric.references == "labels":
            references = [texts[:1] for texts in references]
        _say_several(split, references, self._config.data)
        scorer = self._scorer(references)
        baseline = {}
        # Only the rank that scores needs them; and whether they can be had shows before training.
        if is_main():
            scorer.load()
            baseline = scorer.lead_baseline(documents, references)
        return EvaluationSet(name, rows, tokens, scorer, baseline)

    def _scorer(self, references: Sequence[Sequence[str]]) -> SummaryScorer:
        config = self._config
        # What torch_xla compiles for each length anew is of no use for scores.
        device = select_device(
            "cpu" if config.hardware.backend == "xla" else config.hardware.backend
        )
        return SummaryScorer(
            config.metric,
            language=config.data.language,
            references=references,
            device=device,
            toy=config.debug.tiny,
            seed=config.seed,
        )

    def _tokenize(self, split: str, rows: Dataset, tokenizing: Tokenizing) -> Dataset:
        corpus = self._corpus
        content = corpus.fingerprints[split]
        tokens = tokenize(rows, content, tokenizing, self._config.data, self._cache)
        health = corpus.health.splits.get(split)
        if health is not None:
            health.truncated_documents = sum(tokens["document_cut"])
            health.truncated_summaries = sum(tokens["summary_cut"])
        return tokens


def _say_several(split: str, references: Sequence[Sequence[str]], config: DataConfig) -> None:
    several = sum(len(row) > 1 for row in references)
    if several:
        log.info(
            "%s: %s of %s rows have several references; each score is the best over them",
            *(split, f"{several:,}", f"{len(references):,}"),
        )
    elif config.references_column not in (None, config.summary_column, "summary"):
        log.warning(
            "%s: no row has several references: column %r would have to hold lists of texts",
            *(split, config.references_column),
        )


def _say_long(config: DataConfig, health: SplitHealth, long: LongDocuments | None) -> None:
    longer = health.chunked_documents or health.truncated_documents or 0
    if long is not None:
        what = f"each is summarised in pieces ({long.remark()})"
    elif longer > _WORTH_A_HINT * health.used:
        what = "their ends are cut off; data.long_documents=chunk summarises them whole"
    else:
        return
    log.info(
        "test: %s of %s documents are longer than %s tokens: %s",
        *(f"{longer:,}", f"{health.used:,}", f"{config.max_source_length:,}", what),
    )


def _describe(
    record: RunRecord,
    corpus: Corpus,
    model: PreTrainedModel,
    sets: list[EvaluationSet],
    suffix: str | None,
    *,
    trains: bool,
) -> None:
    """Say and record what the run works on."""
    facts = _model_facts(model) | ({} if suffix is None else {"prompt_end": suffix})
    weights, device = facts["parameters"], describe(model.device)
    log.info("model: %s, %s weights, on %s", type(model).__name__, f"{weights:,}", device)
    scorer = next((one.scorer for one in sets if one.scorer), None)
    record.add_data(
        fingerprints=corpus.fingerprints,
        columns={name: vars(columns) for name, columns in corpus.columns.items()},
        health=corpus.health,
    )
    record.update(
        device=device,
        devices=gathered(device),
        cores=devices_behind(model.device),
        # Which weights were trained is not seen any more in a model that was.
        model=facts if trains else record.content.get("model", facts),
        metric=scorer.signature if scorer else None,
        language=scorer.remark if scorer else None,
    )


def _model_facts(model: PreTrainedModel) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "architecture": type(model).__name__,
        # Of the model that is saved, which has an adapter merged.
        "parameters": model.num_parameters(),
        "trainable": model.num_parameters(only_trainable=True),
    }
    if has_adapter(model):
        facts["parameters"] -= adapter_weights(model)
        facts["adapted"] = adapted_modules(model)
    return facts


def _suffix(config: Config, shape: PreTrainedConfig) -> str | None:
    """Return what goes between document and summary, where the two are one text."""
    if not is_decoder_only(shape):
        return None
    chosen = config.model.target_prefix
    return TARGET_PREFIX if chosen is None else chosen


def _longest_target(config: Config, shape: PreTrainedConfig) -> int:
    """Return the tokens of the longest summary that may be fed or generated."""
    generation = config.generation
    start = 0 if is_decoder_only(shape) else 1
    generated = generation.max_length or 0
    if generation.max_new_tokens is not None:
        generated = max(generated, generation.max_new_tokens + start)
    return max(config.data.max_target_length, config.data.eval_target_length, generated)


def _length_limit(config: Config, model: PreTrainedModel) -> int | None:
    """Return the longest summary in tokens, where neither the user nor the model says.

    Upstream's own default is 20 tokens, at which evaluation used to be stuck.
    """
    own = model.generation_config
    # Of a decoder-only model, its own is that of its prompt too.
    is_limited = own.max_length or own.max_new_tokens
    if model.config.is_encoder_decoder and config.data.val_max_target_length is None and is_limited:
        return None
    return config.data.eval_target_length


def _evaluation_settings(config: Config, model: PreTrainedModel) -> EvaluationSettings:
    training = config.training
    as_upstream = config.engine.loss == "upstream"
    autocast = None
    if training.bf16 or training.bf16_full_eval:
        autocast = torch.bfloat16
    elif training.fp16 or training.fp16_full_eval:
        autocast = torch.float16
    return EvaluationSettings(
        generation=model.generation_config,
        batch_rows=training.per_device_eval_batch_size * devices_behind(model.device),
        batch_tokens=config.hardware.eval_batch_tokens,
        sort_by_length=config.engine.generation_order == "length",
        generate=training.predict_with_generate and not training.prediction_loss_only,
        mean_of_batches=as_upstream,
        lengths_as_upstream=as_upstream,
        label_smoothing=training.label_smoothing_factor if as_upstream else 0.0,
        autocast=autocast,
        references_from_labels=config.metric.references == "labels",
        seed=config.seed,
    )
