"""The phases of a run in order: data, model, training, evaluation, prediction, report."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset, IterableDataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as upstream_logging

from summexp.data.collate import Collator
from summexp.data.corpus import Corpus, load_corpus
from summexp.data.stand_in import needs_stand_in, stand_in_rows
from summexp.data.tokenize import Tokenizing, row_lengths, tokenize, tokenize_stream
from summexp.engines.build import build_engine
from summexp.engines.evaluation import Evaluated, EvaluationSet, EvaluationSettings, evaluate
from summexp.engines.protocol import TrainingJob
from summexp.engines.upstream import generation_config
from summexp.errors import nearest
from summexp.launch.devices import describe, select_device
from summexp.metrics.scorer import SummaryScorer
from summexp.modeling.build import CorpusTexts, build_model, build_tokenizer
from summexp.modeling.tokenizers import tokenizer_digest
from summexp.runs.checkpoints import last_whole_checkpoint
from summexp.runs.environment import cache_dir
from summexp.runs.record import RunRecord
from summexp.runs.resume import RunPlan, evaluation_digest, prediction_digest
from summexp.runs.results import read_metric, save_metrics, save_predictions

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_EXAMPLES = 3
_EXCERPT = 600
_TOKENIZER_ROWS = 20_000


def run_phases(config: Config, folder: Path, record: RunRecord, plan: RunPlan) -> float | None:
    """Do what `plan` says, keeping `record` up to date.

    Returns:
        The metric that `config.objective` names, or None where it was not computed.
    """
    _quiet_upstream()
    if config.debug.detect_anomaly:
        torch.autograd.set_detect_anomaly(True)
    with record.phase("data"):
        corpus = _load(config, plan)
    state = _prepare(config, folder, record, plan, corpus)
    if plan.train:
        evaluated = _train(config, folder, record, state)
    else:
        evaluated = None
    if plan.evaluate:
        _evaluate(config, folder, record, state, evaluated)
    if plan.predict:
        _predict(config, folder, record, state)
    _report(folder, record)
    return _objective(config, folder)


@dataclass(frozen=True)
class _State:
    """What the phases share."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    collate: Collator
    settings: EvaluationSettings
    train: Dataset | IterableDataset | None
    validation: list[EvaluationSet]
    test: EvaluationSet | None
    device: torch.device


def _quiet_upstream() -> None:
    """Let upstream's warnings reach our log, and keep its progress bars and remarks away."""
    upstream_logging.disable_default_handler()
    upstream_logging.enable_propagation()
    upstream_logging.set_verbosity_warning()
    upstream_logging.disable_progress_bar()


def _load(config: Config, plan: RunPlan) -> Corpus:
    training = config.training
    phases: set[Any] = set()
    if plan.train:
        phases.add("train")
    if plan.evaluate or (plan.train and training.do_eval and training.eval_strategy != "no"):
        phases.add("eval")
    if plan.predict:
        phases.add("predict")
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
    if config.debug.overfit and isinstance(corpus.train, Dataset):
        corpus = replace(
            corpus,
            validation={"validation": corpus.train},
            fingerprints={**corpus.fingerprints, "validation": corpus.fingerprints["train"]},
        )
    for split, columns in corpus.columns.items():
        named = config.data.text_column is not None
        if not named and config.data.name != "news_briefs":
            log.info(
                "columns of %s: documents in %r, summaries in %r",
                split,
                columns.document,
                columns.summary,
            )
    return corpus


def _prepare(
    config: Config, folder: Path, record: RunRecord, plan: RunPlan, corpus: Corpus
) -> _State:
    tiny = config.debug.tiny
    cache = None if tiny else cache_dir()
    trained = folder / "config.json"
    chosen = config.model
    if not plan.train and plan.goes_on and trained.is_file():
        log.info("the model is the one trained in %s", folder)
        chosen = replace(
            chosen,
            name_or_path=str(folder),
            init="pretrained",
            config_name=None,
            tokenizer_name=None,
            revision=None,
            freeze=[],
        )
        tiny = False
    with record.phase("model"):
        shape, tokenizer = build_tokenizer(chosen, _texts(corpus), tiny=tiny, cache_dir=cache)
    with record.phase("data"):
        tokens = _Tokens(config, tokenizer, cache)
        train = tokens.train(corpus)
        validation = [
            tokens.evaluation_set(corpus, name, rows) for name, rows in corpus.validation.items()
        ]
        test = tokens.test_set(corpus)
        sets = [*validation, *([test] if test else [])]
        for line in corpus.health.lines():
            log.info("%s", line)
        for remark in dict.fromkeys(one.scorer.remark for one in sets if one.scorer):
            log.info("%s", remark)
    with record.phase("model"):
        built = build_model(
            chosen,
            shape,
            tokenizer,
            seed=config.seed,
            longest_source=tokens.longest_source(train, sets),
            longest_target=max(config.data.max_target_length, config.data.eval_target_length),
            tiny=tiny,
        )
    device = select_device(config.hardware.backend)
    model = built.model
    model.to(device)
    model.generation_config = generation_config(
        model.generation_config, config.generation, max_length=_length_limit(config, model)
    )
    weights = model.num_parameters()
    trainable = model.num_parameters(only_trainable=True)
    log.info("model: %s, %s weights, on %s", type(model).__name__, f"{weights:,}", describe(device))
    scorers = [one.scorer for one in sets if one.scorer]
    record.update(
        device=describe(device),
        data={
            "fingerprints": corpus.fingerprints,
            "health": corpus.health.to_json(),
            "columns": {name: vars(columns) for name, columns in corpus.columns.items()},
        },
        model={
            "architecture": type(model).__name__,
            "parameters": weights,
            "trainable": trainable,
        },
        metric=scorers[0].signature if scorers else None,
        language=scorers[0].remark if scorers else None,
    )
    half = config.training.fp16 or config.training.bf16
    collate = Collator(tokenizer, model, config.data, pad_to_multiple_of=8 if half else None)
    settings = _evaluation_settings(config, model)
    return _State(model, tokenizer, collate, settings, train, validation, test, device)


def _texts(corpus: Corpus) -> CorpusTexts:
    """Return the texts that a tokenizer is trained on: the training rows, or what there is."""
    rows = next(
        one
        for one in (corpus.train, *corpus.validation.values(), corpus.test)
        if one is not None
    )
    fingerprint = next(iter(corpus.fingerprints.values()), "stream")

    def texts() -> Iterator[str]:
        for row in islice(rows, _TOKENIZER_ROWS):
            yield row["document"]
            yield row["summary"] or ""

    return CorpusTexts(corpus.fingerprints.get("train", fingerprint), texts)


class _Tokens:
    """Tokenizes the splits of a run with one tokenizer."""

    def __init__(
        self, config: Config, tokenizer: PreTrainedTokenizerBase, cache: Path | None
    ) -> None:
        self._config = config
        self._cache = cache
        self._tokenizing = Tokenizing(
            tokenizer=tokenizer,
            tokenizer_digest=tokenizer_digest(tokenizer),
            prefix=config.model.source_prefix or "",
            max_source_length=config.data.max_source_length,
            max_target_length=config.data.max_target_length,
        )

    def train(self, corpus: Corpus) -> Dataset | IterableDataset | None:
        """Return the tokenized training rows."""
        if corpus.train is None:
            return None
        if isinstance(corpus.train, IterableDataset):
            return tokenize_stream(corpus.train, self._tokenizing)
        tokens = self._tokenize(corpus, "train", corpus.train, self._tokenizing)
        return tokens.select_columns(["input_ids", "labels"])

    def evaluation_set(self, corpus: Corpus, name: str, rows: Dataset) -> EvaluationSet:
        """Return a validation set; its metrics are called `eval_…`, or `eval_<name>_…` of several."""
        several = len(corpus.validation) > 1
        split = f"validation_{name}" if several else "validation"
        return self._set(corpus, split, f"eval_{name}" if several else "eval", rows)

    def test_set(self, corpus: Corpus) -> EvaluationSet | None:
        """Return the rows to predict."""
        return None if corpus.test is None else self._set(corpus, "test", "predict", corpus.test)

    def longest_source(
        self, train: Dataset | IterableDataset | None, sets: Iterable[EvaluationSet]
    ) -> int:
        """Return the tokens of the longest document."""
        config = self._config.data
        if config.pad_to_max_length or isinstance(train, IterableDataset):
            return config.max_source_length
        splits = [*([train] if train is not None else []), *(one.tokens for one in sets)]
        return max((int(row_lengths(one).max()) for one in splits if len(one)), default=1)

    def _set(self, corpus: Corpus, split: str, name: str, rows: Dataset) -> EvaluationSet:
        limit = self._config.data.eval_target_length
        tokenizing = replace(self._tokenizing, max_target_length=limit)
        tokens = self._tokenize(corpus, split, rows, tokenizing)
        references = [text for text in rows["summary"] if text]
        scorer = None
        baseline: dict[str, float] = {}
        if references:
            scorer = SummaryScorer(
                self._config.metric, language=self._config.data.language, references=references
            )
            pairs = [(row["document"], row["summary"]) for row in rows if row["summary"]]
            baseline = scorer.lead_baseline(*zip(*pairs, strict=True))
        return EvaluationSet(name, rows, tokens, scorer, baseline)

    def _tokenize(
        self, corpus: Corpus, split: str, rows: Dataset, tokenizing: Tokenizing
    ) -> Dataset:
        content = corpus.fingerprints[split]
        tokens = tokenize(rows, content, tokenizing, self._config.data, self._cache)
        health = corpus.health.splits.get(split)
        if health is not None:
            health.truncated_documents = sum(tokens["document_cut"])
            health.truncated_summaries = sum(tokens["summary_cut"])
        return tokens


def _length_limit(config: Config, model: PreTrainedModel) -> int | None:
    """Return the longest summary in tokens, where neither the user nor the model says.

    Upstream's own default is 20 tokens, at which evaluation used to be stuck.
    """
    own = model.generation_config
    if config.data.val_max_target_length is None and (own.max_length or own.max_new_tokens):
        return None
    return config.data.eval_target_length


def _evaluation_settings(config: Config, model: PreTrainedModel) -> EvaluationSettings:
    training = config.training
    autocast = None
    if training.bf16 or training.bf16_full_eval:
        autocast = torch.bfloat16
    elif training.fp16 or training.fp16_full_eval:
        autocast = torch.float16
    return EvaluationSettings(
        generation=model.generation_config,
        batch_rows=training.per_device_eval_batch_size,
        batch_tokens=config.hardware.eval_batch_tokens,
        sort_by_length=config.engine.generation_order == "length",
        generate=training.predict_with_generate and not training.prediction_loss_only,
        mean_of_batches=config.engine.loss == "upstream",
        autocast=autocast,
        references_from_labels=config.metric.references == "labels",
        seed=config.seed,
    )


def _train(
    config: Config, folder: Path, record: RunRecord, state: _State
) -> list[Evaluated] | None:
    given = config.training.resume_from_checkpoint
    resume_from = Path(given) if given else last_whole_checkpoint(folder)
    if resume_from is not None:
        log.info("training goes on from %s", resume_from)
    assert state.train is not None
    job = TrainingJob(
        config=config,
        folder=folder,
        model=state.model,
        tokenizer=state.tokenizer,
        rows=state.train,
        collate=state.collate,
        evaluate=lambda model: [_evaluated(state, one, model) for one in state.validation],
    )
    with record.phase("train"):
        fitted = build_engine(config.engine).fit(job, resume_from)
        state.model.save_pretrained(folder)
        state.tokenizer.save_pretrained(folder)
    metrics = dict(fitted.metrics)
    if isinstance(state.train, Dataset):
        metrics["train_samples"] = len(state.train)
    save_metrics(folder, "train", metrics)
    trained = {"steps": fitted.steps, "epochs": fitted.epochs}
    record.update(phases={"train": trained})
    return fitted.evaluated


def _evaluated(
    state: _State, rows: EvaluationSet, model: PreTrainedModel, *, bar: bool = False
) -> Evaluated:
    with tqdm(total=len(rows.tokens), desc=rows.name, unit="row", disable=not bar) as progress:
        return evaluate(
            model, state.tokenizer, state.collate, rows, state.settings, progress.update
        )


def _evaluate(
    config: Config,
    folder: Path,
    record: RunRecord,
    state: _State,
    evaluated: list[Evaluated] | None,
) -> None:
    with record.phase("eval"):
        if evaluated is None:
            evaluated = [_evaluated(state, one, state.model, bar=True) for one in state.validation]
    metrics: dict[str, float] = {}
    for rows, found in zip(state.validation, evaluated, strict=True):
        metrics |= found.metrics | {f"{rows.name}_samples": len(rows.tokens)}
    save_metrics(folder, "eval", metrics)
    examples = _examples(state.validation[0], evaluated[0])
    phases = {**record.content["phases"], "eval": evaluation_digest(config)}
    record.update(phases=phases, examples=examples)


def _predict(config: Config, folder: Path, record: RunRecord, state: _State) -> None:
    rows = state.test
    assert rows is not None
    # Predictions are what this phase is for, whatever evaluation does.
    state = replace(state, settings=replace(state.settings, generate=True))
    with record.phase("predict"):
        found = _evaluated(state, rows, state.model, bar=True)
    save_metrics(folder, "predict", found.metrics | {"predict_samples": len(rows.tokens)})
    save_predictions(
        folder, rows.rows["id"], found.predictions, rows.rows["summary"], found.row_scores
    )
    examples = record.content.get("examples") or _examples(rows, found)
    phases = {**record.content["phases"], "predict": prediction_digest(config)}
    record.update(phases=phases, examples=examples)


def _examples(rows: EvaluationSet, found: Evaluated) -> list[dict[str, Any]]:
    """Return a few rows with what was generated for them."""
    scores = iter(found.row_scores.get("rougeL", []))
    examples = []
    for row, prediction in zip(rows.rows, found.predictions, strict=False):
        example = {"id": row["id"], "document": row["document"][:_EXCERPT]}
        example |= {"reference": row["summary"], "prediction": prediction}
        if row["summary"]:
            example["rougeL"] = next(scores, None)
        examples.append(example)
        if len(examples) == _EXAMPLES:
            break
    return examples


def _report(folder: Path, record: RunRecord) -> None:
    from summexp.reports.card import write_model_card
    from summexp.reports.report import write_report
    from summexp.reports.terminal import print_summary

    record.end("finished")
    write_model_card(folder)
    write_report(folder)
    record.update()
    print_summary(folder)


def _objective(config: Config, folder: Path) -> float | None:
    value = read_metric(folder, config.objective)
    if value is None and config.training.do_eval:
        from summexp.runs.results import read_json

        known = read_json(folder / "all_results.json")
        hint = nearest(config.objective, known) or ""
        log.warning("objective %r was not computed. %s", config.objective, hint)
    return value


