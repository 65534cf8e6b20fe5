"""Phases of a run, in order: data and model, training, evaluation, prediction, report, upload."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel
from transformers.utils import logging as upstream_logging

from summexp.distributed.ranks import broadcast_object, is_main
from summexp.distributed.signals import stop_requests
from summexp.engines.progress import Progress, Publish, TrainingProgress
from summexp.engines.protocol import FitResult
from summexp.engines.registry import build_engine
from summexp.engines.training_guard import exit_on_request
from summexp.errors import nearest
from summexp.evaluation.divergence import not_finite
from summexp.evaluation.evaluate import (
    EvaluationResult,
    EvaluationSet,
    evaluate,
    row_references,
)
from summexp.metrics.score import LOSS, flat_name
from summexp.reports.card import write_model_card
from summexp.reports.report import write_report
from summexp.reports.terminal import print_summary
from summexp.run_folder.atomic_files import read_json
from summexp.run_folder.checkpoints import checkpoints, has_manifest, last_complete_checkpoint
from summexp.run_folder.layout import predictions_file
from summexp.run_folder.storage_errors import storage_errors
from summexp.runs.examples import choose_examples
from summexp.runs.hub_upload import push, push_checkpoint
from summexp.runs.metric_files import drop_results, save_metrics
from summexp.runs.predictions import (
    Predictions,
    input_label,
    move_earlier_predictions,
    write_predictions,
)
from summexp.runs.preparation import RunContext, prepare_run
from summexp.runs.record import RunRecord
from summexp.runs.resume import (
    RunPlan,
    evaluation_digest,
    other_settings,
    prediction_digest,
    training_length,
    upload_digest,
)
from summexp.runs.tracking import no_trackers, trackers
from summexp.runs.training_job import training_job
from summexp.upstream.transformers import silence_mask_warning

if TYPE_CHECKING:
    from summexp.config.schema import Config
    from summexp.data.source_files import Inspections

log = logging.getLogger(__name__)


def run_phases(
    config: Config, folder: Path, record: RunRecord, plan: RunPlan, files: Inspections | None = None
) -> None:
    """Run the phases of `plan`, keeping `record` up to date; of several ranks, rank 0 writes.

    Raises:
        StorageError: a file could not be written.
    """
    with storage_errors(folder):
        _run_phases(config, folder, record, plan, files)


def _run_phases(
    config: Config, folder: Path, record: RunRecord, plan: RunPlan, files: Inspections | None
) -> None:
    _quiet_upstream()
    torch.autograd.set_detect_anomaly(config.debug.detect_anomaly)
    if plan.needs_model:
        context = prepare_run(config, folder, record, plan, files)
        with trackers(config, folder) if is_main() else no_trackers() as log_scores:
            evaluations = None
            if plan.train:
                fit_result = _train(config, folder, record, context)
                evaluations = fit_result.evaluations
                context = replace(context, model=fit_result.model)
            if plan.evaluate:
                with _stopping_after_batch() as each_batch:
                    log_scores(_evaluate(config, folder, record, context, evaluations, each_batch))
            if plan.predict:
                with _stopping_after_batch() as each_batch:
                    log_scores(_predict(config, folder, record, context, each_batch))
    if is_main():
        with stop_requests(lambda: "finishing the report"):
            _report(folder, record, predicted=plan.predict)
        if plan.push:
            push(config, folder)
            record.update(phases={**record.content["phases"], "push": upload_digest(config)})
        _check_objective(config, folder)


@contextmanager
def _stopping_after_batch() -> Iterator[Callable[[], None]]:
    """Yield a function to call after each batch, which ends the run if a signal was received."""
    with stop_requests(lambda: "stopping after this batch") as request:
        yield lambda: exit_on_request(request)
        exit_on_request(request)


def _quiet_upstream() -> None:
    """Send the warnings of transformers to our log, and disable its progress bars."""
    upstream_logging.disable_default_handler()
    upstream_logging.enable_propagation()
    upstream_logging.set_verbosity_warning()
    upstream_logging.disable_progress_bar()
    silence_mask_warning()


def _train(config: Config, folder: Path, record: RunRecord, context: RunContext) -> FitResult:
    if is_main():
        drop_results(folder)
        _move_earlier_predictions(folder, record)
    for outdated in ("scores", "evaluated", "examples", "predictions"):
        record.content.pop(outdated, None)
    # Rank 0 alone reads the folder, which it may be writing to.
    resume_from = broadcast_object(_checkpoint(config, folder) if is_main() else None)
    if resume_from is not None:
        log.info("resuming from %s", resume_from)
        if is_main():
            _log_foreign_checkpoint(config, folder, resume_from)
    assert context.train is not None
    job = training_job(
        config,
        folder,
        model=context.model,
        tokenizer=context.tokenizer,
        rows=context.train,
        collate=context.collate,
        evaluate=lambda model, each: [
            _evaluate_set(context, one, model, each, record.publish_evaluation, in_training=True)
            for one in context.validation
        ],
    )
    job = replace(
        job,
        on_save=lambda saved: push_checkpoint(config, folder, saved) if is_main() else None,
        progress=TrainingProgress(_shown_in_training(context.validation), record.publish),
    )
    # A signal ends the run only after the trained model is saved and recorded.
    with stop_requests(lambda: "saving the trained model") as request:
        with record.phase("train"), closing(job.progress):
            fit_result = build_engine(config.engine).fit(job, resume_from)
        metrics = dict(fit_result.metrics)
        for name in not_finite(metrics):
            log.warning("%s is NaN, since some losses were; the result files have null", name)
        if isinstance(context.train, Dataset):
            metrics["train_samples"] = len(context.train)
        if is_main():
            save_metrics(folder, "train", metrics)
        trained: dict[str, Any] = {"steps": fit_result.steps, "epochs": fit_result.epochs}
        read = {key: context.files.get(key) for key in ("data.train_file", "data.name")}
        trained["files"] = {key: digest for key, digest in read.items() if digest is not None}
        if fit_result.stopped_early:
            trained["stopped_early"] = training_length(config)
        record.update(phases={"train": trained})
        exit_on_request(request)
    return fit_result


def _shown_in_training(sets: Sequence[EvaluationSet]) -> list[str]:
    """Return what a line of the log has room for: the loss, and three scores of the quality."""
    shown = []
    for one in sets:
        metrics = one.scorer.metrics if one.scorer else []
        scores = [score.name for metric in metrics for score in metric.scores if score.quality]
        shown += [flat_name(one.name, name) for name in (LOSS.name, *scores[:3])]
    return shown


def _checkpoint(config: Config, folder: Path) -> Path | None:
    """Return the checkpoint to resume from, or None.

    The run's own checkpoints come before one of another folder, from which it started.
    """
    given = config.training.resume_from_checkpoint
    if given is not None and Path(given).resolve().parent == folder.resolve():
        return Path(given)
    own = last_complete_checkpoint(folder)
    if own is None and given is None and checkpoints(folder):
        log.warning("no complete checkpoint found: training starts from the first step")
    return own or (Path(given) if given else None)


def _log_foreign_checkpoint(config: Config, folder: Path, checkpoint: Path) -> None:
    """Warn of a checkpoint of another run that has no manifest or other settings."""
    if checkpoint.resolve().parent == folder.resolve():
        return
    if not has_manifest(checkpoint):
        log.warning(
            "%s has no manifest (it was not written by summexp): its files cannot be verified, "
            "and the order of the training rows is that of summexp",
            checkpoint,
        )
    if keys := other_settings(config, checkpoint):
        log.warning(
            "%s is of a run with other settings (%s); its step and optimizer state are used",
            checkpoint,
            ", ".join(keys),
        )


def _evaluate_set(
    context: RunContext,
    rows: EvaluationSet,
    model: PreTrainedModel,
    each_batch: Callable[[], None],
    publish: Publish,
    *,
    in_training: bool = False,
) -> EvaluationResult:
    """Evaluate a set, with progress on rank 0; `each_batch` is called after each batch."""
    if not is_main():
        return evaluate(
            *(model, context.tokenizer, context.collate, rows, context.settings),
            lambda _: each_batch(),
        )
    total = len(rows.tokens) - len(rows.skipped)
    shown = Progress(rows.name, "row", total, publish=publish, nested=in_training)
    with closing(shown) as progress:

        def on_batch(done: int) -> None:
            progress.advance(done)
            each_batch()

        return evaluate(
            *(model, context.tokenizer, context.collate, rows, context.settings),
            on_batch,
            # A chunk counts as a row.
            progress.extend,
        )


def _evaluate(
    config: Config,
    folder: Path,
    record: RunRecord,
    context: RunContext,
    evaluations: list[EvaluationResult] | None,
    each_batch: Callable[[], None],
) -> dict[str, float]:
    with record.phase("eval"):
        if evaluations is None:
            evaluations = [
                _evaluate_set(context, one, context.model, each_batch, record.publish)
                for one in context.validation
            ]
    metrics: dict[str, float] = {}
    for rows, found in zip(context.validation, evaluations, strict=True):
        metrics |= found.metrics | {f"{rows.name}_samples": len(rows.tokens)}
    if not is_main():
        return metrics
    save_metrics(folder, "eval", metrics)
    examples = choose_examples(context.validation[0], evaluations[0])
    phases = record.content["phases"]
    digest = evaluation_digest(config, context.files, trained="train" in phases)
    record.add_scores("eval", zip(context.validation, evaluations, strict=True))
    record.update(phases={**phases, "eval": digest}, examples=examples)
    return metrics


def _predict(
    config: Config,
    folder: Path,
    record: RunRecord,
    context: RunContext,
    each_batch: Callable[[], None],
) -> dict[str, float]:
    rows = context.test
    assert rows is not None
    # Prediction always generates, even if evaluation does not.
    context = replace(context, settings=replace(context.settings, generate=True))
    file_format = config.data.predictions_format
    input_rows = None
    if is_main() and file_format != "jsonl":
        assert context.test_input is not None
        # Read before generation, which may take hours: the source may change.
        input_rows = context.test_input()
    with record.phase("predict"):
        found = _evaluate_set(context, rows, context.model, each_batch, record.publish)
    if not is_main():
        return found.metrics
    save_metrics(folder, "predict", found.metrics | {"predict_samples": len(rows.tokens)})
    label, fingerprint = input_label(config.data), record.content["data"]["fingerprints"]["test"]
    is_same = record.content.get("predictions", {}).get("fingerprint") == fingerprint
    name = predictions_file(file_format)
    _move_earlier_predictions(folder, record, keep=name if is_same else None)
    predictions = Predictions(
        ids=rows.rows["id"][:],
        texts=found.predictions,
        references=row_references(rows.rows),
        scores=found.row_scores,
        scored=rows.scored,
        skipped=rows.skipped,
        chunks=rows.long.counts if rows.long else {},
    )
    write_predictions(folder, file_format, predictions, input_rows)
    record.add_scores("predict", [(rows, found)])
    phases = record.content["phases"]
    digest = prediction_digest(config, context.files, trained="train" in phases)
    record.update(
        phases={**phases, "predict": digest},
        predictions={
            "file": name,
            "input": label,
            "fingerprint": fingerprint,
            "rows": len(rows.rows),
            "skipped": len(rows.skipped),
            "examples": choose_examples(rows, found),
        },
    )
    return found.metrics


def _move_earlier_predictions(folder: Path, record: RunRecord, keep: str | None = None) -> None:
    earlier = record.content.get("predictions", {})
    record.content["files"] += move_earlier_predictions(folder, earlier, keep)


def _report(folder: Path, record: RunRecord, *, predicted: bool) -> None:
    record.end("finished")
    if (folder / "config.json").is_file():
        write_model_card(folder)
    write_report(folder)
    record.update()
    print_summary(folder, predicted=predicted)


def _check_objective(config: Config, folder: Path) -> None:
    """Warn if the objective of a sweep was not computed."""
    metrics = read_json(folder / "all_results.json") or {}
    if config.objective not in metrics and config.objective != type(config).objective:
        log.warning(
            "objective %r was not computed. %s",
            config.objective,
            nearest(config.objective, metrics) or f"Available: {', '.join(metrics)}.",
        )
