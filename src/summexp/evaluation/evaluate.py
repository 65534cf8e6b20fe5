"""Evaluation and prediction: loss, generated summaries and scores, the same for every engine."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean
from typing import Any

import pyarrow.compute as pc
import torch
from datasets import Dataset
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from summexp.data.chunking import LongDocuments
from summexp.data.collate import Collator
from summexp.data.columns import EMPTY_DOCUMENT, is_blank
from summexp.data.tokenize import arrow_column, flagged_rows, row_lengths
from summexp.distributed.ranks import all_gather_object, broadcast_object, is_main, this_world
from summexp.errors import RunError
from summexp.evaluation.divergence import advice
from summexp.evaluation.long_documents import Summary, summarize_long
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.metrics.score import GEN_LEN, LOSS, Baseline, Estimate, Score, flat, score_of
from summexp.metrics.scorer import SummaryScorer
from summexp.metrics.sentences import with_line_ends
from summexp.modeling.weights import listed, non_finite_weights

NO_TOKENS = "no tokens in the document"
"""Reason for skipping a row whose document has no tokens."""


@dataclass(frozen=True)
class EvaluationSet:
    """Rows to evaluate or predict, as text and as tokens, in the same order."""

    name: str
    """Prefix of its metrics, such as `eval`."""
    rows: Dataset
    """`id`, `document`, `summary` (None where there is no reference), and `references` (all of a
    row's, empty where there is only the summary) where rows may have several."""
    tokens: Dataset
    """`input_ids`, `labels`, and `document_empty` where nothing may be left of a document."""
    scorer: SummaryScorer | None
    """Scores the predictions; None where there are no references."""
    baseline: Baseline | None = None
    """Scores of the documents' first sentences, where there are any."""
    long: LongDocuments | None = None
    """The rows to summarise in chunks, where there are any; the loss is that of what is cut."""

    @cached_property
    def skipped(self) -> dict[int, str]:
        """Row number to the reason why it is skipped, in the order of the rows."""
        if "document_empty" in self.tokens.column_names:
            empty = flagged_rows(self.tokens, "document_empty")
        else:
            texts = enumerate(self.rows["document"])
            empty = [number for number, document in texts if is_blank(document)]
        documents = self.rows.select(empty)["document"]
        return {
            number: EMPTY_DOCUMENT if is_blank(document) else NO_TOKENS
            for number, document in zip(empty, documents, strict=True)
        }

    @cached_property
    def scored(self) -> list[int]:
        """Numbers of the scored rows: those with a reference that are not skipped."""
        return [number for number in self.with_reference if number not in self.skipped]

    @cached_property
    def with_reference(self) -> list[int]:
        """Numbers of the rows with a reference."""
        # Without any reference, the column may have no type.
        summaries = pc.cast(arrow_column(self.rows, "summary"), "string")
        return list(pc.indices_nonzero(pc.binary_length(summaries)).to_pylist())

    @cached_property
    def references(self) -> list[list[str]]:
        """All references of each scored row."""
        return row_references(_chosen(self.rows, self.scored))

    @property
    def documents(self) -> Sequence[str]:
        """The document of each scored row, fetched as they are iterated over."""
        documents: Sequence[str] = _chosen(self.rows, self.scored)["document"]
        return documents


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of evaluation and generation."""

    generation: GenerationConfig
    """Generation config of every phase."""
    batch_rows: int
    """Rows of a batch, unless `batch_tokens` is set."""
    batch_tokens: int | None
    """Maximum source tokens of a batch, padding included; for a decoder-only model, whose cache
    holds them too, plus summary tokens."""
    sort_by_length: bool
    """Batch rows of similar length; the results keep the order of the rows."""
    generate: bool
    """Whether to generate summaries in addition to computing the loss."""
    mean_of_batches: bool = False
    """Average the losses of the batches, as upstream does, instead of the tokens' losses."""
    lengths_as_upstream: bool = False
    """Count the tokens of summaries as upstream does; see `_lengths`."""
    label_smoothing: float = 0.0
    """Label smoothing of the loss; see `token_loss_sum`. Upstream applies it in evaluation too."""
    autocast: torch.dtype | None = None
    """Data type of mixed precision."""
    references_from_labels: bool = False
    """Score against references decoded from the truncated labels, as the old script does."""
    seed: int = 42
    """Seed of sampling, so that a model generates the same summaries in every phase."""


@dataclass(frozen=True)
class EvaluationResult:
    """The result of evaluating a set."""

    metrics: dict[str, float]
    """Metrics under the names of the old scripts, prefixed with the set's name: `eval_rougeL`."""
    predictions: list[str]
    """One summary per row, "" for a skipped row; empty if nothing was generated."""
    row_scores: dict[str, list[float]]
    """Score name to the scores of the `scored` rows."""
    scores: list[Score] = field(default_factory=list)
    """The scores over all rows, the loss among them, as records; on rank 0 only."""
    counts: dict[str, int] = field(default_factory=dict)
    """`skipped` and `scored` rows, where these are not none and not all."""


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    rows: EvaluationSet,
    settings: EvaluationSettings,
    on_batch: Callable[[int], None] = lambda _: None,
    on_more: Callable[[int], None] = lambda _: None,
) -> EvaluationResult:
    """Compute the loss of `rows`, generate their summaries and score them.

    Args:
        model: the model on its device; its training mode is restored.
        tokenizer: decodes the summaries.
        collate: collates rows into batches.
        rows: the set to evaluate.
        settings: settings of evaluation and generation.
        on_batch: called after each batch with its number of rows or chunks.
        on_more: called with the number of additional chunks, when it is known.

    Raises:
        RunError: a loss or the logits are not finite; raised on every rank.
    """
    started = time.perf_counter()
    long = rows.long if settings.generate else None
    if long is not None:
        on_more(len(long.chunks))
    taken = 0

    def compute(
        tokens: Dataset, skipped: Collection[int] = ()
    ) -> tuple[list[list[int]], list[_BatchResult]]:
        nonlocal taken
        batches = list(batch_rows(tokens, settings, skipped))
        first, taken = taken, taken + len(batches)
        return batches, _compute_batches(
            model, tokenizer, collate, tokens, batches, settings, on_batch, first
        )

    # Chunks have their own batches, so that the results of the other rows do not change.
    def summarize(tokens: Dataset) -> dict[int, Summary]:
        batches, results = compute(tokens)
        _check_outputs(rows.name, model, results, settings)
        return _by_row(batches, results)

    batches, results = compute(rows.tokens, rows.skipped)
    _check_outputs(rows.name, model, results, settings)
    summaries = _by_row(batches, results)
    if long is not None:
        summaries |= summarize_long(long, summarize, on_more)
    # Rank 0 scores, and broadcasts the metrics that training depends on.
    found = None
    if is_main():
        loss = _mean_loss(results, settings)
        found = _build_result(rows, loss, summaries, tokenizer, settings)
    seconds = time.perf_counter() - started
    if found is not None:
        found.metrics.update(_speed(rows.name, seconds, len(rows.tokens), taken))
    metrics = broadcast_object({} if found is None else found.metrics)
    return EvaluationResult(metrics, [], {}) if found is None else found


def _speed(name: str, seconds: float, rows: int, batches: int) -> dict[str, float]:
    return {
        f"{name}_runtime": round(seconds, 4),
        f"{name}_samples_per_second": round(rows / seconds, 3),
        f"{name}_steps_per_second": round(batches / seconds, 3),
    }


def row_references(rows: Dataset) -> list[list[str]]:
    """Return all references of each row, that of training first; may be empty."""
    first = [[text] if text else [] for text in rows["summary"]]
    if "references" not in rows.column_names:
        return first
    return [several or one for several, one in zip(rows["references"], first, strict=True)]


def _chosen(rows: Dataset, numbers: Sequence[int]) -> Dataset:
    """Return the rows of the given numbers; all of them are not copied."""
    return rows if len(numbers) == len(rows) else rows.select(numbers)


def batch_rows(
    tokens: Dataset, settings: EvaluationSettings, skipped: Collection[int] = ()
) -> Iterator[list[int]]:
    """Yield the row numbers of each batch, without skipped rows.

    Sorted rows start with the longest, so that a lack of memory shows at once. In input order, rows
    without a reference come last, so that they do not change the batches, and the mean loss, of the
    others.
    """
    lengths = row_lengths(tokens).tolist()
    order = [number for number in range(len(lengths)) if number not in skipped]
    if settings.sort_by_length:
        order.sort(key=lambda number: -lengths[number])
    elif "labels" in tokens.column_names:
        targets = row_lengths(tokens, "labels")
        order.sort(key=lambda number: not targets[number])
    batch: list[int] = []
    longest = 0
    for number in order:
        longest = max(longest, lengths[number])
        if batch and not _fits(len(batch) + 1, longest, settings):
            yield batch
            batch, longest = [], lengths[number]
        batch.append(number)
    if batch:
        yield batch


def _fits(rows: int, longest: int, settings: EvaluationSettings) -> bool:
    if settings.batch_tokens is not None:
        # Only a decoder-only model counts new tokens (see `generation_config`).
        return rows * (longest + (settings.generation.max_new_tokens or 0)) <= settings.batch_tokens
    return rows <= settings.batch_rows


@dataclass
class _BatchResult:
    """The result of one batch."""

    loss: float
    """Loss summed over its target tokens."""
    targets: int
    """Number of target tokens."""
    texts: list[str]
    """One summary per row; empty if none was generated."""
    lengths: list[int]
    """Number of tokens of each summary."""
    overflows: bool = False
    """Whether the logits were NaN or infinite during generation."""


def _compute_batches(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    tokens: Dataset,
    batches: Sequence[Sequence[int]],
    settings: EvaluationSettings,
    on_batch: Callable[[int], None],
    first: int,
) -> list[_BatchResult]:
    """Return the result of each batch, on every rank; rank r takes batches r, r + ranks, ….

    The batches do not depend on the number of ranks, so that results are bit-identical. Batch
    numbers start at `first`.
    """
    world = this_world()
    was_training = model.training
    model.eval()
    mine: dict[int, _BatchResult] = {}
    try:
        with _without_gradients(model.device), autocast(model, settings.autocast):
            for start in range(0, len(batches), world.size):
                number = start + world.rank
                if number < len(batches):
                    chosen = [tokens[row] for row in batches[number]]
                    # Sampling depends on the run's seed and the batch number only.
                    with _sampling_seed(model.device, settings.seed + first + number):
                        mine[number] = _batch_result(model, tokenizer, collate, chosen, settings)
                on_batch(sum(map(len, batches[start : start + world.size])))
    finally:
        model.train(was_training)
    every: dict[int, _BatchResult] = {}
    for part in all_gather_object(mine):
        every |= part
    return [every[number] for number in range(len(batches))]


@contextlib.contextmanager
def _sampling_seed(device: torch.device, seed: int) -> Iterator[None]:
    """Seed sampling with `seed`, and restore the random numbers of training."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _batch_result(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    rows: Sequence[dict[str, list[int]]],
    settings: EvaluationSettings,
) -> _BatchResult:
    """Compute the loss and the summaries of a batch of rows."""
    result = _BatchResult(0.0, 0, [], [])
    # The loss is computed over the rows with a reference.
    with_reference = [row for row in rows if row.get("labels")]
    if with_reference:
        labelled = _to_device(collate(with_reference), model.device, settings)
        inputs = {name: tensor for name, tensor in labelled.items() if name != "labels"}
        logits = model(**inputs).logits
        smoothing = settings.label_smoothing
        result.loss = token_loss_sum(logits, labelled["labels"], smoothing).item()
        result.targets = int(count_targets(labelled["labels"]))
    if settings.generate:
        prompts = collate.prompts(rows)
        if model.device.type != "xla":
            prompts = _to_device(prompts, model.device, settings)
        guard = LogitsGuard(samples=bool(settings.generation.do_sample))
        generated = generate(model, tokenizer, prompts, settings, guard)
        result.overflows = guard.found()
        if not model.config.is_encoder_decoder:
            generated = generated[:, prompts["input_ids"].shape[1] :]
        result.lengths = _lengths(generated, tokenizer.pad_token_id, model, settings)
        texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
        result.texts = [text.strip() for text in texts]
    return result


def _lengths(
    generated: torch.Tensor, pad: int, model: PreTrainedModel, settings: EvaluationSettings
) -> list[int]:
    """Return the number of tokens of each summary, up to and including the end token.

    Upstream counts all tokens but padding. GPT-2 and others pad with the end token, and so does a
    beam search (5.23) if the padding token has ID 0, as in T5.

    Args:
        generated: (rows, tokens) token IDs.
        pad: the padding token, with which the decoder may start.
        model: the model that generated them.
        settings: has the end tokens.
    """
    counts = generated.ne(pad)
    if settings.lengths_as_upstream:
        return counts.sum(dim=1).tolist()
    ends = settings.generation.eos_token_id
    is_end = torch.isin(generated, torch.tensor([] if ends is None else ends).to(generated))
    if model.config.is_encoder_decoder:
        # BART starts with the end token.
        is_end[:, 0] = False
    else:
        counts = torch.ones_like(is_end)
    is_after = is_end.cumsum(dim=1) - is_end.long() > 0
    return (counts & ~is_after).sum(dim=1).tolist()


def _without_gradients(device: torch.device) -> contextlib.AbstractContextManager[object]:
    # torch_xla (2.9) sets the version of views, which inference tensors do not have.
    return torch.no_grad() if device.type == "xla" else torch.inference_mode()


def _to_device(
    batch: dict[str, torch.Tensor], device: torch.device, settings: EvaluationSettings
) -> dict[str, torch.Tensor]:
    if device.type == "xla":
        from summexp.evaluation.xla import shard

        return shard(batch, settings.batch_rows)
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _by_row(
    batches: Sequence[Sequence[int]], results: Sequence[_BatchResult]
) -> dict[int, Summary]:
    """Return the summary of each row, by row number; empty if none was generated."""
    return {
        row: Summary(text, length)
        for numbers, result in zip(batches, results, strict=True)
        for row, text, length in zip(numbers, result.texts, result.lengths, strict=False)
    }


def _build_result(
    rows: EvaluationSet,
    loss: float | None,
    summaries: Mapping[int, Summary],
    tokenizer: PreTrainedTokenizerBase,
    settings: EvaluationSettings,
) -> EvaluationResult:
    """Return the metrics, and the summaries in the order of the rows."""
    records = [] if loss is None else [score_of(rows.name, LOSS, Estimate(loss))]
    predictions: list[str] = []
    row_scores: dict[str, list[float]] = {}
    counts = {"skipped": len(rows.skipped)} if rows.skipped else {}
    if settings.generate:
        predictions = [
            "" if row in rows.skipped else summaries[row].text for row in range(len(rows.tokens))
        ]
        if not settings.references_from_labels:
            # The old scripts keep, and score, what PEGASUS writes between sentences.
            predictions = [*map(with_line_ends, predictions)]
        scores, row_scores, scored = _score(rows, predictions, tokenizer, settings)
        records += scores
        counts |= scored
    if summaries:
        length = Estimate(_mean_length(rows, summaries))
        records.append(score_of(rows.name, GEN_LEN, length))
    named = flat(records) | {f"{rows.name}_{key}": float(value) for key, value in counts.items()}
    return EvaluationResult(named, predictions, row_scores, records, counts)


def _mean_loss(results: Sequence[_BatchResult], settings: EvaluationSettings) -> float | None:
    """Return the loss over all target tokens, or the mean of the batches'; None without targets.

    Upstream (5.23) repeats a batch's loss as often as a full batch has rows, so that a short one
    counts as much.
    """
    with_targets = [result for result in results if result.targets]
    if not with_targets:
        return None
    if settings.mean_of_batches:
        return fmean(result.loss / result.targets for result in with_targets)
    targets = sum(result.targets for result in with_targets)
    return sum(result.loss for result in with_targets) / targets


def _mean_length(rows: EvaluationSet, summaries: Mapping[int, Summary]) -> float:
    """Return the mean number of tokens of a summary, over scored rows, or over all without any."""
    return fmean(summaries[row].tokens for row in rows.scored or summaries)


def autocast(
    model: PreTrainedModel, dtype: torch.dtype | None
) -> contextlib.AbstractContextManager[object]:
    """Return the context of mixed precision in `dtype`; of none if it is None."""
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=dtype)


class LogitsGuard(LogitsProcessor):
    """Detects non-finite logits during generation, which upstream ignores.

    With sampling, it replaces them by 0: sampling from NaN is a device error.
    """

    def __init__(self, *, samples: bool) -> None:
        self._samples = samples
        self._found: torch.Tensor | None = None

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores`, of (rows, vocabulary); minus infinity marks forbidden tokens."""
        # The maximum of NaN and anything is NaN.
        highest = scores.amax(dim=-1, keepdim=True)
        not_finite = highest.isnan() | highest.isposinf()
        found = not_finite.any()
        self._found = found if self._found is None else self._found | found
        return torch.where(not_finite, 0.0, scores) if self._samples else scores

    def found(self) -> bool:
        """Return whether any logits were not finite; synchronizes with the device."""
        return self._found is not None and bool(self._found)


def _check_outputs(
    name: str, model: PreTrainedModel, results: Sequence[_BatchResult], settings: EvaluationSettings
) -> None:
    lost = sum(not math.isfinite(result.loss) for result in results)
    overflows = sum(result.overflows for result in results)
    if not lost and not overflows:
        return
    what = f"{name}_loss" if lost else f"{name}: the output of the model"
    what += f" is not finite in {lost or overflows} of {len(results)} batches"
    if weights := non_finite_weights(model):
        what += f", since the weights are not finite ({listed(weights)})"
    raise RunError(f"{what}. {advice(fp16=settings.autocast == torch.float16)}")


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    batch: dict[str, torch.Tensor],
    settings: EvaluationSettings,
    guard: LogitsGuard,
) -> torch.Tensor:
    """Return (rows, target tokens) generated token IDs."""
    names = ("input_ids", "attention_mask", "global_attention_mask")
    inputs = {name: batch[name] for name in names if name in batch}
    if model.device.type == "xla":
        from summexp.evaluation import xla

        return xla.generate(model, inputs, settings.generation, settings.batch_rows)
    # Each rank has all weights and its own batches, so ranks need not be synchronized.
    # Which classes can generate is not in the types of transformers.
    theirs: Any = model.generate
    generated = theirs(
        **inputs,
        generation_config=settings.generation,
        logits_processor=LogitsProcessorList([guard]),
        # Upstream reads stop strings with it.
        tokenizer=tokenizer,
        synced_gpus=False,
    )
    assert isinstance(generated, torch.Tensor)
    return generated


def _score(
    rows: EvaluationSet,
    predictions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    settings: EvaluationSettings,
) -> tuple[list[Score], dict[str, list[float]], dict[str, int]]:
    """Score the rows that can be; the others' scores are left out (see `row_scores`).

    How many were `scored` is the third value, where they are not all.
    """
    scored = rows.scored
    if rows.scorer is None or not scored:
        return [], {}, {"scored": 0} if rows.with_reference else {}
    references = rows.references
    if settings.references_from_labels:
        labels = _chosen(rows.tokens, scored)["labels"][:]
        decoded = tokenizer.batch_decode(labels, skip_special_tokens=True)
        references = [[text.strip()] for text in decoded]
    made = [predictions[number] for number in scored]
    scores = rows.scorer.score(made, references, rows.documents)
    counts = {"scored": len(scored)} if len(scored) < len(rows.rows) else {}
    return rows.scorer.records(rows.name, scores, rows.baseline), scores.rows, counts
