"""Preparation of a run: loads corpus, tokenizer and model into the context of its phases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset, IterableDataset
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from summexp.config.model_generation_rules import ignored_options, own_problems
from summexp.config.model_kind_rules import kind_problems
from summexp.data.collate import Collator, build_collator
from summexp.data.corpus import Corpus, load_corpus
from summexp.data.input_rows import InputRows
from summexp.data.source_files import Inspections
from summexp.data.split_sources import Phase, data_of
from summexp.data.synthetic import needs_synthetic_rows, synthetic_rows
from summexp.distributed.devices import describe, devices_behind, select_device
from summexp.distributed.ranks import all_gather_object, is_main, local_main_first
from summexp.errors import ConfigError
from summexp.evaluation.evaluate import EvaluationSet, EvaluationSettings
from summexp.evaluation.generation_trial import try_generation
from summexp.evaluation.hf_generation_config import generation_config
from summexp.evaluation.token_ids import id_problems
from summexp.modeling.adapters import adapted_modules, adapter_weights, has_adapter
from summexp.modeling.architecture import is_decoder_only, prefix_left_out
from summexp.modeling.config import TARGET_PREFIX, ModelConfig
from summexp.modeling.model_builder import CorpusTexts, build_model, build_tokenizer
from summexp.runs.process_environment import cache_dir
from summexp.runs.record import RunRecord
from summexp.runs.resume import RunPlan, model_digests
from summexp.runs.score_checks import check_scores
from summexp.runs.tokenized_splits import Splits
from summexp.upstream.transformers import to_device

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.distributed.config import HardwareConfig

log = logging.getLogger(__name__)

_TOKENIZER_ROWS = 20_000
"""Maximum rows that a tokenizer is trained on; more would not change a small vocabulary."""


@dataclass(frozen=True)
class RunContext:
    """Objects that the phases of a run share."""

    model: PreTrainedModel
    """Model on its device, with the generation config of every phase."""
    tokenizer: PreTrainedTokenizerBase
    """Tokenizer of the model."""
    collate: Collator
    """Collates rows into batches."""
    settings: EvaluationSettings
    """Settings of evaluation and generation."""
    train: Dataset | IterableDataset | None
    """Tokenized training rows; None if the run does not train."""
    validation: list[EvaluationSet]
    """Validation sets; empty if the run does not evaluate."""
    test: EvaluationSet | None
    """Rows to predict; None if the run does not predict."""
    test_input: Callable[[], InputRows] | None
    """Reads the rows to predict with all columns of their source."""
    files: dict[str, str]
    """Config key to the digest of the file or folder that was read for it."""


def prepare_run(
    config: Config, folder: Path, record: RunRecord, plan: RunPlan, files: Inspections | None = None
) -> RunContext:
    """Read and tokenize the corpus, and create or load the model.

    Args:
        config: the config of the run.
        folder: the run folder.
        record: the record of the run.
        plan: the remaining phases.
        files: the data files as inspected before the run.

    Raises:
        ConfigError: an error that earlier checks cannot find: columns of a Hub dataset, keys of an
            architecture, a missing repository.
    """
    chosen, tiny = _model_choice(config, folder, plan)
    cache = None if config.debug.tiny else cache_dir()
    # Digests are taken before reading, so that a folder replaced meanwhile is detected later.
    of_the_model = model_digests(config) if is_main() and chosen is config.model else {}
    # The first rank of a node fills the caches, and the others read them.
    with local_main_first() as first:
        if not first:
            # The first rank has overwritten the cache.
            config = replace(config, data=replace(config.data, overwrite_cache=False))
        with record.phase("data"):
            corpus = _load(config, plan, cache, files or Inspections())
            if plan.train and plan.resumes:
                _check_same_rows(corpus, record, folder)
        # The content of a stream is unknown, so its tokenizer has no key in the cache.
        kept = None if isinstance(corpus.train, IterableDataset) else cache
        with record.phase("model"):
            shape, tokenizer = build_tokenizer(chosen, _texts(corpus), tiny=tiny, cache_dir=kept)
            if problems := list(kind_problems(config, decoder_only=is_decoder_only(shape))):
                raise ConfigError(problems)
        if (prefix := prefix_left_out(chosen, shape)) is not None and not tiny:
            log.warning(
                "the model's config has the prefix %r for summarization, and model.source_prefix "
                "is not set: set it to that prefix, or to nothing (model.source_prefix=)",
                prefix,
            )
        with record.phase("data"):
            target_prefix = _target_prefix(config, shape)
            splits = Splits(config, corpus, tokenizer, target_prefix, cache)
    sets = splits.sets()
    for line in corpus.health.lines():
        log.info("%s", line)
    splits.log_skipped()
    splits.log_long_documents()
    # Of several ranks, rank 0 scores, and has loaded what it scores with.
    if is_main():
        scorers = [one.scorer for one in sets if one.scorer]
        metrics = scorers[0].metrics if scorers else []
        check_scores(config, [one.name for one in sets], metrics)
        # Sets of one language have one signature; it is logged once.
        for scorer in {one.signature: one for one in scorers}.values():
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
            # A trained adapter is already merged.
            peft=config.peft if plan.train else None,
        )
        _to_device(model, config.hardware)
    _set_generation(config, model)
    if model.generation_config.do_sample and config.generation.do_sample is None and sets:
        log.warning(
            "the model's generation config samples, so that scores are partly random: "
            "set generation=greedy or generation=beam4 for deterministic summaries"
        )
    _describe(record, corpus, model, sets, target_prefix, of_the_model if plan.train else None)
    half = config.training.fp16 or config.training.bf16
    collate = build_collator(tokenizer, model, config.data, pad_to_multiple_of=8 if half else None)
    settings = _evaluation_settings(config, model)
    if (sets and settings.generate) or plan.predict:
        with record.phase("model"):
            try_generation(model, tokenizer, collate, settings, config.generation)
    return RunContext(
        model=model,
        tokenizer=tokenizer,
        collate=collate,
        settings=settings,
        train=splits.train,
        validation=splits.validation,
        test=splits.test,
        test_input=corpus.test_input,
        files=of_the_model | corpus.files,
    )


def _set_generation(config: Config, model: PreTrainedModel) -> None:
    """Set the generation config of every phase: the model's own, and what `generation.*` sets.

    Raises:
        ConfigError: the model's own has what `generation.*` may not have; or a token ID is not one
            of the model's.
    """
    own, options = model.generation_config, config.generation
    if problems := [*own_problems(own.to_dict(), options, "in the model's generation config")]:
        raise ConfigError(problems)
    if ignored := ignored_options(own.to_dict(), options):
        for name in ignored:
            setattr(own, name, None)
        for why in dict.fromkeys(ignored.values()):
            names = ", ".join(name for name, reason in ignored.items() if reason == why)
            log.info("ignoring %s of the model's generation config: %s", names, why)
    model.generation_config = generation_config(
        own,
        options,
        max_length=_length_limit(config, model),
        decoder_only=not model.config.is_encoder_decoder,
    )
    # An encoder may have a vocabulary of its own.
    tokens = model.get_output_embeddings() or model.get_input_embeddings()
    size = tokens.get_parameter("weight").shape[0]
    if problems := [*id_problems(model.generation_config.to_dict(), size)]:
        raise ConfigError(problems)


def _to_device(model: PreTrainedModel, hardware: HardwareConfig) -> None:
    if hardware.backend == "xla":
        from summexp.distributed.xla import place

        place(model, hardware)
    else:
        to_device(model, select_device(hardware.backend))


def _model_choice(config: Config, folder: Path, plan: RunPlan) -> tuple[ModelConfig, bool]:
    """Return the model to load (the one trained in `folder`, if any), and whether it is tiny."""
    trained = folder / "config.json"
    if plan.train or not plan.resumes or not trained.is_file():
        return config.model, config.debug.tiny
    log.info("loading the trained model from %s", folder)
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


def _load(config: Config, plan: RunPlan, cache: Path | None, files: Inspections) -> Corpus:
    phases = set(_phases(config, plan))
    data = data_of(config.data, phases, files)
    tiny = config.debug.tiny
    rows = synthetic_rows(data, phases) if tiny and needs_synthetic_rows(data) else None
    corpus = load_corpus(
        data,
        phases=phases,
        offline=config.offline,
        cache_dir=cache,
        in_memory=tiny,
        rows=rows,
        files=files,
    )
    if isinstance(corpus.train, IterableDataset) and next(iter(corpus.train), None) is None:
        raise ConfigError.of(key="data.streaming", what="the training data have no usable row")
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
    # debug=overfit evaluates the training rows.
    evaluated: Phase = "train" if config.debug.overfit else "eval"
    if plan.train:
        yield "train"
    if plan.evaluate or in_training:
        yield evaluated
    if plan.predict:
        yield "predict"


def _check_same_rows(corpus: Corpus, record: RunRecord, folder: Path) -> None:
    """Check that training resumes with the rows with which it started."""
    earlier = record.content.get("data", {}).get("fingerprints", {}).get("train")
    now = corpus.fingerprints.get("train")
    if earlier is not None and now is not None and earlier != now:
        raise ConfigError.of(
            key="data.train_file",
            what=f"the training rows differ from those with which the run in {folder} started",
            hint="Restore the old rows to resume, or choose another output_dir.",
        )


def _texts(corpus: Corpus) -> CorpusTexts:
    """Return the texts to train a tokenizer on: the training rows, else another split."""
    rows = next(
        one for one in (corpus.train, *corpus.validation.values(), corpus.test) if one is not None
    )
    fingerprint = next(iter(corpus.fingerprints.values()), "stream")

    def texts() -> Iterator[str]:
        for row in islice(rows, _TOKENIZER_ROWS):
            yield row["document"]
            yield row["summary"] or ""

    return CorpusTexts(corpus.fingerprints.get("train", fingerprint), texts)


def _describe(
    record: RunRecord,
    corpus: Corpus,
    model: PreTrainedModel,
    sets: list[EvaluationSet],
    target_prefix: str | None,
    trained_from: dict[str, str] | None,
) -> None:
    """Log and record model, device, data and signatures.

    Args:
        record: the record of the run.
        corpus: the rows of the run.
        model: the model on its device.
        sets: the sets to evaluate or predict.
        target_prefix: text between document and summary of a decoder-only model, else None.
        trained_from: digests of the folders that the model to train was loaded from; None if the
            run does not train.
    """
    trains = trained_from is not None
    facts = _model_facts(model) | (
        {} if target_prefix is None else {"target_prefix": target_prefix}
    )
    if trained_from:
        facts["files"] = trained_from
    weights, device = facts["parameters"], describe(model.device)
    log.info("model: %s, %s weights, on %s", type(model).__name__, f"{weights:,}", device)
    scorer = next((one.scorer for one in sets if one.scorer), None)
    record.add_data(
        fingerprints=corpus.fingerprints,
        columns={name: vars(columns) for name, columns in corpus.columns.items()},
        health=corpus.health,
    )
    if trains:
        record.content.setdefault("trained_with", {})["cores"] = devices_behind(model.device)
    signatures = _signatures(sets, record.content.get("signatures", {}))
    record.update(
        device=device,
        devices=all_gather_object(device),
        cores=devices_behind(model.device),
        # A trained model does not show which of its weights were trained.
        model=facts if trains else record.content.get("model", facts),
        signatures=signatures,
        metric=_common_signature(signatures),
        language=scorer.remark if scorer else None,
    )


def _signatures(sets: list[EvaluationSet], earlier: Mapping[str, str]) -> dict[str, str]:
    """Return the signature of each set's scores, with those of earlier commands in the folder."""
    if not is_main():
        return dict(earlier)
    return {**earlier, **{one.name: one.scorer.signature for one in sets if one.scorer}}


def _common_signature(signatures: Mapping[str, str]) -> str | None:
    """Return the common signature, or each set's if language or references differ."""
    if len(set(signatures.values())) > 1:
        return "; ".join(f"{name}: {signature}" for name, signature in signatures.items())
    return next(iter(signatures.values()), None)


def _model_facts(model: PreTrainedModel) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "architecture": type(model).__name__,
        # The count of the saved model, in which an adapter is merged.
        "parameters": model.num_parameters(),
        "trainable": model.num_parameters(only_trainable=True),
    }
    if has_adapter(model):
        facts["parameters"] -= adapter_weights(model)
        facts["adapted"] = adapted_modules(model)
    return facts


def _target_prefix(config: Config, shape: PreTrainedConfig) -> str | None:
    """Return the text between document and summary for a decoder-only model, else None."""
    if not is_decoder_only(shape):
        return None
    chosen = config.model.target_prefix
    return TARGET_PREFIX if chosen is None else chosen


def _longest_target(config: Config, shape: PreTrainedConfig) -> int:
    """Return the maximum tokens of a summary, given as a label or generated."""
    generation = config.generation
    start = 0 if is_decoder_only(shape) else 1
    generated = generation.max_length or 0
    if generation.max_new_tokens is not None:
        generated = max(generated, generation.max_new_tokens + start)
    return max(config.data.max_target_length, config.data.eval_target_length, generated)


def _length_limit(config: Config, model: PreTrainedModel) -> int | None:
    """Return the maximum tokens of a generated summary, or None if the model's config sets it.

    The default of transformers is 20 tokens, which truncates most summaries.
    """
    generation = model.generation_config
    # For a decoder-only model, the limit in its config includes the prompt.
    is_limited = generation.max_length or generation.max_new_tokens
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
