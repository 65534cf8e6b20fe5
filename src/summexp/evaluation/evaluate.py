"""Evaluation and prediction: loss, generated summaries and scores, the same for every engine."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean

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
from summexp.data.columns import is_blank
from summexp.distributed.ranks import all_gather_object, broadcast_object, is_main, this_world
from summexp.errors import RunError
from summexp.evaluation.divergence import advice
from summexp.evaluation.long_documents import Summary, summarize_long
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.metrics.score import GEN_LEN, LOSS, Baseline, Estimate, Score, flat, score_of
from summexp.metrics.scorer import SummaryScorer
from summexp.modeling.weights import listed, non_finite_weights

EMPTY_DOCUMENT = "empty document"
"""Why a row is skipped that has no document, or a blank one."""
NO_TOKENS = "no tokens in the document"
"""Why a row is skipped of whose document the tokenizer leaves nothing."""


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
        """Row number to why it is neither summarised nor scored, in the order of the rows."""
        has_column = "document_empty" in self.tokens.column_names
        empty = self.tokens["document_empty"] if has_column else [False] * len(self.rows)
        return {
            number: EMPTY_DOCUMENT if is_blank(document) else NO_TOKENS
            for number, (document, no_tokens) in enumerate(
                zip(self.rows["document"], empty, strict=True)
            )
            if no_tokens or is_blank(document)
        }

    @cached_property
    def scored(self) -> list[int]:
        """The numbers of the rows that are scored: those with a reference that are not skipped."""
        summaries = enumerate(self.rows["summary"])
        return [number for number, summary in summaries if summary and number not in self.skipped]


@dataclass(frozen=True)
class EvaluationSettings:
    """How a set is evaluated."""

    generation: GenerationConfig
    """Used for every row, in training, evaluation and prediction alike."""
    batch_rows: int
    """Rows of a batch, unless `batch_tokens` is set."""
    batch_tokens: int | None
    """Source tokens of a batch, padding counted; of a decoder-only model's, which keeps them in
    mind as it goes on, those of its summaries too."""
    sort_by_length: bool
    """Take rows of like length together; the results keep the order of the rows."""
    generate: bool
    """Whether to generate summaries, and not only compute the loss."""
    mean_of_batches: bool = False
    """Average the batches' own losses, as upstream does, and not over the tokens."""
    lengths_as_upstream: bool = False
    """Count what fills up a batch as upstream does; see `_lengths`."""
    label_smoothing: float = 0.0
    """Of the loss; see `token_loss_sum`. Upstream smooths in evaluation too."""
    autocast: torch.dtype | None = None
    """Number type of mixed precision."""
    references_from_labels: bool = False
    """Score against the references decoded from the (cut) labels, as the old script does."""
    seed: int = 42
    """Of sampling, so that the same model gives the same summaries in every phase."""


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found."""

    metrics: dict[str, float]
    """Under the old scripts' names, each with the set's name before it: `eval_rougeL`."""
    predictions: list[str]
    """One a row, in the rows' order, "" for a skipped one; none where nothing was generated."""
    row_scores: dict[str, list[float]]
    """Scores of each of the rows that were `scored`, by score name."""
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
        model: on its device; left in the mode (training or not) that it came in.
        tokenizer: decodes the summaries.
        collate: makes the batches.
        rows: what to evaluate.
        settings: how.
        on_batch: called with the number of rows, or chunks of rows, of each batch that is done.
        on_more: called with the number of chunks as soon as it is known that they come, too.

    Raises:
        RunError: a loss, or what the model generates from, is not a number; on every rank alike.
    """
    started = time.perf_counter()
    long = rows.long if settings.generate else None
    if long is not None:
        on_more(len(long.chunks))
    taken = 0

    def computed(
        tokens: Dataset, skipped: Collection[int] = ()
    ) -> tuple[list[list[int]], list[_BatchResult]]:
        nonlocal taken
        batches = list(batch_rows(tokens, settings, skipped))
        first, taken = taken, taken + len(batches)
        return batches, _computed(
            model, tokenizer, collate, tokens, batches, settings, on_batch, first
        )

    # With the long rows, so that the batches of all others, and what they give, stay as they are.
    def summarized(tokens: Dataset) -> dict[int, Summary]:
        batches, results = computed(tokens)
        _check_outputs(rows.name, model, results, settings)
        return _by_row(batches, results)

    batches, results = computed(rows.tokens, rows.skipped)
    _check_outputs(rows.name, model, results, settings)
    summaries = _by_row(batches, results)
    if long is not None:
        summaries |= summarize_long(long, summarized, on_more)
    # One rank scores, and the others learn what training goes by.
    found = None
    if is_main():
        loss = _mean_loss(results, settings)
        found = _put_together(rows, loss, summaries, tokenizer, settings)
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
    """Return all references of each row, the one that it is trained with first; maybe none."""
    first = [[text] if text else [] for text in rows["summary"]]
    if "references" not in rows.column_names:
        return first
    return [several or one for several, one in zip(rows["references"], first, strict=True)]


def batch_rows(
    tokens: Dataset, settings: EvaluationSettings, skipped: Collection[int] = ()
) -> Iterator[list[int]]:
    """Yield the row numbers of each batch, those that are skipped left out.

    Long rows come first where rows are sorted, so that what does not fit in memory shows at once.
    Where they keep their order, those without a reference come last: the others are in the batches
    that they would be in alone, and have the same mean loss.
    """
    lengths = [len(ids) for ids in tokens["input_ids"]]
    order = [number for number in range(len(lengths)) if number not in skipped]
    if settings.sort_by_length:
        order.sort(key=lambda number: -lengths[number])
    elif "labels" in tokens.column_names:
        has_reference = [bool(ids) for ids in tokens["labels"]]
        order.sort(key=lambda number: not has_reference[number])
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
    """What one batch gave."""

    loss: float
    """Summed over its target tokens."""
    targets: int
    """Its target tokens."""
    texts: list[str]
    """Summaries, one a row; empty where none were generated."""
    lengths: list[int]
    """Their tokens."""
    overflows: bool = False
    """Whether the model gave NaN or infinity while it generated."""


def _computed(
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

    The batches are those of a single process, so that its numbers are the same bit by bit. They are
    numbered from `first` on.
    """
    world = this_world()
    was_training = model.training
    model.eval()
    mine: dict[int, _BatchResult] = {}
    try:
        with _without_gradients(model.device), _autocast(model, settings.autocast):
            for start in range(0, len(batches), world.size):
                number = start + world.rank
                if number < len(batches):
                    chosen = [tokens[row] for row in batches[number]]
                    # Sampled from the run's seed, the batch's number and nothing else.
                    with _own_random_numbers(model.device, settings.seed + first + number):
                        mine[number] = _batch_result(model, tokenizer, collate, chosen, settings)
                on_batch(sum(map(len, batches[start : start + world.size])))
    finally:
        model.train(was_training)
    every: dict[int, _BatchResult] = {}
    for part in all_gather_object(mine):
        every |= part
    return [every[number] for number in range(len(batches))]


@contextlib.contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Sample from `seed`, and leave training's random numbers as they were."""
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
    """Compute the loss and the summaries of some rows."""
    result = _BatchResult(0.0, 0, [], [])
    # A row without a reference takes no part in the loss, and keeps no other row out of it.
    with_reference = [row for row in rows if row.get("labels")]
    if with_reference:
        labelled = _moved(collate(with_reference), model.device, settings)
        inputs = {name: tensor for name, tensor in labelled.items() if name != "labels"}
        logits = model(**inputs).logits
        smoothing = settings.label_smoothing
        result.loss = token_loss_sum(logits, labelled["labels"], smoothing).item()
        result.targets = int(count_targets(labelled["labels"]))
    if settings.generate:
        prompts = collate.prompts(rows)
        if model.device.type != "xla":
            prompts = _moved(prompts, model.device, settings)
        watch = LogitsWatch(samples=bool(settings.generation.do_sample))
        generated = _generate(model, prompts, settings, watch)
        result.overflows = watch.found()
        if not model.config.is_encoder_decoder:
            generated = generated[:, prompts["input_ids"].shape[1] :]
        result.lengths = _lengths(generated, tokenizer.pad_token_id, model, settings)
        texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
        result.texts = [text.strip() for text in texts]
    return result


def _lengths(
    generated: torch.Tensor, pad: int, model: PreTrainedModel, settings: EvaluationSettings
) -> list[int]:
    """Return the tokens of each summary, the one that ends it counted and none after it.

    Upstream counts what is not padding. But GPT-2 and others pad with the token that ends a text,
    and so does a beam search (5.23) where padding has number 0, as T5's.

    Args:
        generated: (rows, tokens).
        pad: the padding token, with which the decoder may start.
        model: what generated them.
        settings: how; knows the tokens that end a summary.
    """
    counts = generated.ne(pad)
    if settings.lengths_as_upstream:
        return counts.sum(dim=1).tolist()
    ends = settings.generation.eos_token_id
    is_end = torch.isin(generated, torch.tensor([] if ends is None else ends).to(generated))
    if model.config.is_encoder_decoder:
        # BART starts with the token that ends.
        is_end[:, 0] = False
    else:
        counts = torch.ones_like(is_end)
    is_after = is_end.cumsum(dim=1) - is_end.long() > 0
    return (counts & ~is_after).sum(dim=1).tolist()


def _without_gradients(device: torch.device) -> contextlib.AbstractContextManager[object]:
    # A view of a tensor made in inference mode has no version, which torch_xla (2.9) sets.
    return torch.no_grad() if device.type == "xla" else torch.inference_mode()


def _moved(
    batch: dict[str, torch.Tensor], device: torch.device, settings: EvaluationSettings
) -> dict[str, torch.Tensor]:
    if device.type == "xla":
        from summexp.evaluation.xla import spread

        return spread(batch, settings.batch_rows)
    return {name: tensor.to(device) for name, tensor in batch.items()}


def _by_row(
    batches: Sequence[Sequence[int]], results: Sequence[_BatchResult]
) -> dict[int, Summary]:
    """Return the summary of each row; none where none were generated."""
    return {
        row: Summary(text, length)
        for numbers, result in zip(batches, results, strict=True)
        for row, text, length in zip(numbers, result.texts, result.lengths, strict=False)
    }


def _put_together(
    rows: EvaluationSet,
    loss: float | None,
    summaries: Mapping[int, Summary],
    tokenizer: PreTrainedTokenizerBase,
    settings: EvaluationSettings,
) -> EvaluationResult:
    """Return the metrics, and the summaries in the rows' order."""
    records = [] if loss is None else [score_of(rows.name, LOSS, Estimate(loss))]
    predictions: list[str] = []
    row_scores: dict[str, list[float]] = {}
    counts = {"skipped": len(rows.skipped)} if rows.skipped else {}
    if settings.generate:
        predictions = [
            "" if row in rows.skipped else summaries[row].text for row in range(len(rows.tokens))
        ]
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
    """Return the tokens of a summary, over the rows that are scored, or else over all."""
    return fmean(summaries[row].tokens for row in rows.scored or summaries)


def _autocast(
    model: PreTrainedModel, dtype: torch.dtype | None
) -> contextlib.AbstractContextManager[object]:
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=dtype)


class LogitsWatch(LogitsProcessor):  # type: ignore[misc]
    """Sees whether a token is chosen by logits that are not numbers; upstream chooses all the same.

    Where tokens are sampled, these logits become 0: to sample by NaN is an error of the device.
    """

    def __init__(self, *, samples: bool) -> None:
        self._samples = samples
        self._found: torch.Tensor | None = None

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `scores`, of (rows, vocabulary); minus infinity stands for what is forbidden."""
        # The maximum of NaN and anything is NaN.
        highest = scores.amax(dim=-1, keepdim=True)
        wrong = highest.isnan() | highest.isposinf()
        found = wrong.any()
        self._found = found if self._found is None else self._found | found
        return torch.where(wrong, 0.0, scores) if self._samples else scores

    def found(self) -> bool:
        """Return whether there were any; waits for the device."""
        return self._found is not None and bool(self._found)


def _check_outputs(
    name: str, model: PreTrainedModel, results: Sequence[_BatchResult], settings: EvaluationSettings
) -> None:
    lost = sum(not math.isfinite(result.loss) for result in results)
    overflows = sum(result.overflows for result in results)
    if not lost and not overflows:
        return
    what = f"{name}_loss" if lost else f"{name}: the output of the model"
    what += f" is not a number in {lost or overflows} of {len(results)} batches"
    if weights := non_finite_weights(model):
        what += f", as the weights are not finite ({listed(weights)})"
    raise RunError(f"{what}. {advice(fp16=settings.autocast == torch.float16)}")


def _generate(
    model: PreTrainedModel,
    batch: dict[str, torch.Tensor],
    settings: EvaluationSettings,
    watch: LogitsWatch,
) -> torch.Tensor:
    """Return (rows, target tokens) generated token ids."""
    names = ("input_ids", "attention_mask", "global_attention_mask")
    inputs = {name: batch[name] for name in names if name in batch}
    if model.device.type == "xla":
        from summexp.evaluation.xla import generate

        return generate(model, inputs, settings.generation, settings.batch_rows)
    # Each rank has all weights and its own batches; upstream might let it wait for the others.
    generated = model.generate(
        **inputs,
        generation_config=settings.generation,
        logits_processor=LogitsProcessorList([watch]),
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
    references, scored = row_references(rows.rows), rows.scored
    if settings.references_from_labels:
        decoded = tokenizer.batch_decode(list(rows.tokens["labels"]), skip_special_tokens=True)
        references = [[text.strip()] for text in decoded]
    if rows.scorer is None or not scored:
        return [], {}, {"scored": 0} if any(references) else {}
    scores = rows.scorer.score(
        [predictions[number] for number in scored],
        [references[number] for number in scored],
        [rows.rows[number]["document"] for number in scored],
    )
    counts = {"scored": len(scored)} if len(scored) < len(rows.rows) else {}
    return rows.scorer.records(rows.name, scores, rows.baseline), scores.rows, counts
