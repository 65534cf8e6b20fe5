"""The phases of a run in order: data and model, training, evaluation, prediction, report."""

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
from summexp.engines.protocol import FitResult, TrainingJob
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
from summexp.run_folder.checkpoints import checkpoints, has_manifest, last_complete_checkpoint
from summexp.run_folder.layout import predictions_file
from summexp.run_folder.storage_errors import storage_errors
from summexp.runs.examples import choose_examples
from summexp.runs.hub_upload import push, push_checkpoint
from summexp.runs.metric_files import drop_results, read_json, save_metrics
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

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)


def run_phases(config: Config, folder: Path, record: RunRecord, plan: RunPlan) -> None:
    """Run the phases of `plan`, keeping `record` up to date; of several ranks, rank 0 writes.

    Raises:
        StorageError: a file could not be written.
    """
    with storage_errors(folder):
        _run_phases(config, folder, record, plan)


def _run_phases(config: Config, folder: Path, record: RunRecord, plan: RunPlan) -> None:
    _quiet_upstream()
    torch.autograd.set_detect_anomaly(config.debug.detect_anomaly)
    if plan.needs_model:
        prepared = prepare_run(config, folder, record, plan)
        with trackers(config, folder) if is_main() else no_trackers() as log_scores:
            evaluated = None
            if plan.train:
                fitted = _train(config, folder, record, prepared)
                evaluated = fitted.evaluated
                prepared = replace(prepared, model=fitted.model)
            if plan.evaluate:
                with _ends_after_a_batch() as each_batch:
                    log_scores(_evaluate(config, folder, record, prepared, evaluated, each_batch))
            if plan.predict:
                with _ends_after_a_batch() as each_batch:
                    log_scores(_predict(config, folder, record, prepared, each_batch))
    if is_main():
        with stop_requests(lambda: "finishing the report"):
            _report(folder, record, predicted=plan.predict)
        if plan.push:
            push(config, folder)
            record.update(phases={**record.content["phases"], "push": upload_digest(config)})
        _check_objective(config, folder)


@contextmanager
def _ends_after_a_batch() -> Iterator[Callable[[], None]]:
    """Let a signal end the run when what this yields is called, or at the end of the block."""
    with stop_requests(lambda: "stopping after this batch") as request:
        yield lambda: exit_on_request(request)
        exit_on_request(request)


def _quiet_upstream() -> None:
    """Let upstream's warnings reach our log, and keep its progress bars and remarks away."""
    upstream_logging.disable_default_handler()
    upstream_logging.enable_propagation()
    upstream_logging.set_verbosity_warning()
    upstream_logging.disable_progress_bar()
    upstream_logging.get_logger("transformers.modeling_utils").addFilter(_is_no_call_for_a_mask)


def _is_no_call_for_a_mask(record: logging.LogRecord) -> bool:
    # `generate` (5.23) drops a mask that hides nothing, and GPT-2 then asks for one as soon as a
    # summary of the batch has ended.
    return "passing in an `attention_mask`" not in record.getMessage()


def _train(config: Config, folder: Path, record: RunRecord, prepared: RunContext) -> FitResult:
    if is_main():
        drop_results(folder)
        _move_earlier_predictions(folder, record)
    for of_the_model_before in ("scores", "evaluated", "examples", "predictions"):
        record.content.pop(of_the_model_before, None)
    # One rank looks, since others might see a folder that is being written.
    resume_from = broadcast_object(_checkpoint(config, folder) if is_main() else None)
    if resume_from is not None:
        log.info("resuming from %s", resume_from)
        if is_main():
            _log_foreign_checkpoint(config, folder, resume_from)
    assert prepared.train is not None
    job = TrainingJob(
        training=config.training,
        engine=config.engine,
        backend=config.hardware.backend,
        seed=config.seed,
        trackers=config.tracking.trackers,
        run_name=config.tracking.run_name,
        profile=config.debug.profile,
        folder=folder,
        model=prepared.model,
        tokenizer=prepared.tokenizer,
        rows=prepared.train,
        collate=prepared.collate,
        evaluate=lambda model, each: [
            _evaluated(prepared, one, model, each, record.publish_evaluation, in_training=True)
            for one in prepared.validation
        ],
        on_save=lambda saved: push_checkpoint(config, folder, saved) if is_main() else None,
        progress=TrainingProgress(_shown_in_training(prepared.validation), record.publish),
    )
    # What was trained is kept whole, and is known to be so, before a signal ends the run.
    with stop_requests(lambda: "saving the trained model") as request:
        with record.phase("train"), closing(job.progress):
            fitted = build_engine(config.engine).fit(job, resume_from)
        metrics = dict(fitted.metrics)
        for name in not_finite(metrics):
            log.warning("%s is not a number, as some losses were not; the files hold null", name)
        if isinstance(prepared.train, Dataset):
            metrics["train_samples"] = len(prepared.train)
        if is_main():
            save_metrics(folder, "train", metrics)
        trained: dict[str, Any] = {"steps": fitted.steps, "epochs": fitted.epochs}
        read = {key: prepared.files.get(key) for key in ("data.train_file", "data.name")}
        trained["files"] = {key: digest for key, digest in read.items() if digest is not None}
        if fitted.stopped_early:
            trained["stopped_early"] = training_length(config)
        record.update(phases={"train": trained})
        exit_on_request(request)
    return fitted


def _shown_in_training(sets: Sequence[EvaluationSet]) -> list[str]:
    """Return what a line of the log has room for: the loss, and three scores of the quality."""
    shown = []
    for one in sets:
        metrics = one.scorer.metrics if one.scorer else []
        scores = [score.name for metric in metrics for score in metric.scores if score.quality]
        shown += [flat_name(one.name, name) for name in (LOSS.name, *scores[:3])]
    return shown


def _checkpoint(config: Config, folder: Path) -> Path | None:
    """Return the checkpoint to go on from, if there is one.

    One of another folder is where the run begins; after a kill its own later ones come first.
    """
    given = config.training.resume_from_checkpoint
    if given is not None and Path(given).resolve().parent == folder.resolve():
        return Path(given)
    own = last_complete_checkpoint(folder)
    if own is None and given is None and checkpoints(folder):
        log.warning("no whole checkpoint is left: training begins with the first step")
    return own or (Path(given) if given else None)


def _log_foreign_checkpoint(config: Config, folder: Path, checkpoint: Path) -> None:
    """Warn of what is not known, or not the same, of a checkpoint that another run wrote."""
    if checkpoint.resolve().parent == folder.resolve():
        return
    if not has_manifest(checkpoint):
        log.warning(
            "%s has no manifest: it was not written by summexp. That its files belong together is "
            "not known; the rows come in summexp's order",
            checkpoint,
        )
    if keys := other_settings(config, checkpoint):
        log.warning(
            "%s is of a run with other settings (%s); step and optimizer state are taken from it",
            checkpoint,
            ", ".join(keys),
        )


def _evaluated(
    prepared: RunContext,
    rows: EvaluationSet,
    model: PreTrainedModel,
    each_batch: Callable[[], None],
    publish: Publish,
    *,
    in_training: bool = False,
) -> EvaluationResult:
    """Evaluate a set, report the progress, and call `each_batch` after each batch."""
    if not is_main():
        return evaluate(
            *(model, prepared.tokenizer, prepared.collate, rows, prepared.settings),
            lambda _: each_batch(),
        )
    total = len(rows.tokens) - len(rows.skipped)
    shown = Progress(rows.name, "row", total, publish=publish, is_part=in_training)
    with closing(shown) as progress:

        def on_batch(done: int) -> None:
            progress.advance(done)
            each_batch()

        return evaluate(
            *(model, prepared.tokenizer, prepared.collate, rows, prepared.settings),
            on_batch,
            # Each chunk is as much work as a row.
            progress.extend,
        )


def _evaluate(
    config: Config,
    folder: Path,
    record: RunRecord,
    prepared: RunContext,
    evaluated: list[EvaluationResult] | None,
    each_batch: Callable[[], None],
) -> dict[str, float]:
    with record.phase("eval"):
        if evaluated is None:
            evaluated = [
                _evaluated(prepared, one, prepared.model, each_batch, record.publish)
                for one in prepared.validation
            ]
    metrics: dict[str, float] = {}
    for rows, found in zip(prepared.validation, evaluated, strict=True):
        metrics |= found.metrics | {f"{rows.name}_samples": len(rows.tokens)}
    if not is_main():
        return metrics
    save_metrics(folder, "eval", metrics)
    examples = choose_examples(prepared.validation[0], evaluated[0])
    phases = record.content["phases"]
    digest = evaluation_digest(config, prepared.files, trained="train" in phases)
    record.add_scores("eval", zip(prepared.validation, evaluated, strict=True))
    record.update(phases={**phases, "eval": digest}, examples=examples)
    return metrics


def _predict(
    config: Config,
    folder: Path,
    record: RunRecord,
    prepared: RunContext,
    each_batch: Callable[[], None],
) -> dict[str, float]:
    rows = prepared.test
    assert rows is not None
    # Predictions are what this phase is for, whatever evaluation does.
    prepared = replace(prepared, settings=replace(prepared.settings, generate=True))
    file_format = config.data.predictions_format
    input_rows = None
    if is_main() and file_format != "jsonl":
        assert prepared.test_input is not None
        # Before the summaries are generated, which may take hours: the source may change.
        input_rows = prepared.test_input()
    with record.phase("predict"):
        found = _evaluated(prepared, rows, prepared.model, each_batch, record.publish)
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
    digest = prediction_digest(config, prepared.files, trained="train" in phases)
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
    """Warn where a sweep would go by a metric that was not computed."""
    metrics = read_json(folder / "all_results.json")
    if config.objective not in metrics and config.objective != type(config).objective:
        log.warning(
            "objective %r was not computed. %s",
            config.objective,
            nearest(config.objective, metrics) or f"There are: {', '.join(metrics)}.",
        )
