"""Evaluation and prediction: loss, generated summaries and scores, the same for every engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from datasets import Dataset
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.collate import Collator
from summexp.engines.loss import count_targets, token_loss_sum
from summexp.metrics.scorer import SummaryScorer


@dataclass(frozen=True)
class EvaluationSet:
    """Rows to evaluate or predict, as text and as tokens, in the same order."""

    name: str
    """Prefix of its metrics, such as `eval`."""
    rows: Dataset
    """`id`, `document`, `summary` (None where there is no reference)."""
    tokens: Dataset
    """`input_ids`, `labels`."""
    scorer: SummaryScorer | None
    """Scores the predictions; None where there are no references."""
    baseline: dict[str, float]
    """Scores of the documents' first sentences."""


@dataclass(frozen=True)
class EvaluationSettings:
    """How a set is evaluated."""

    generation: GenerationConfig
    """Used for every row, in training, evaluation and prediction alike."""
    batch_rows: int
    """Rows of a batch, where `batch_tokens` does not say otherwise."""
    batch_tokens: int | None
    """Source tokens of a batch, padding counted."""
    sort_by_length: bool
    """Take rows of like length together; the results keep the order of the rows."""
    generate: bool
    """Whether to generate summaries, and not only compute the loss."""
    mean_of_batches: bool = False
    """Average the loss over the rows' batches, as upstream does, and not over the tokens."""
    autocast: torch.dtype | None = None
    """Number type of mixed precision."""
    references_from_labels: bool = False
    """Score against the references decoded from the (cut) labels, as the old script does."""
    seed: int = 42
    """Of sampling, so that the same model gives the same summaries in every phase."""


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found."""

    metrics: dict[str, float]
    """Under the old scripts' names, each with the set's name before it: `eval_rougeL`."""
    predictions: list[str]
    """One a row, in the rows' order; empty where nothing was generated."""
    row_scores: dict[str, list[float]]
    """Scores of each row that has a reference, 0 to 100, by score name."""


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    rows: EvaluationSet,
    settings: EvaluationSettings,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Evaluated:
    """Compute the loss of `rows`, generate their summaries and score them.

    Args:
        model: on its device; left in the mode (training or not) that it came in.
        tokenizer: decodes the summaries.
        collate: makes the batches.
        rows: what to evaluate.
        settings: how.
        on_batch: called with the number of rows of each batch that is done.
    """
    started = time.perf_counter()
    was_training = model.training
    model.eval()
    found = _Found(len(rows.tokens), settings.mean_of_batches)
    batches = list(batch_rows(rows.tokens, settings))
    try:
        with (
            torch.inference_mode(),
            _own_random_numbers(model.device, settings.seed),
            _autocast(model, settings.autocast),
        ):
            for numbers in batches:
                chosen = [rows.tokens[number] for number in numbers]
                _evaluate_batch(model, tokenizer, collate, chosen, numbers, settings, found)
                on_batch(len(numbers))
    finally:
        model.train(was_training)
    metrics = found.losses.metrics()
    row_scores: dict[str, list[float]] = {}
    if settings.generate and len(rows.tokens):
        scores, row_scores = _score(rows, found.predictions, tokenizer, settings)
        metrics |= scores
        metrics["gen_len"] = sum(found.lengths) / len(found.lengths)
    seconds = time.perf_counter() - started
    metrics |= {
        "runtime": round(seconds, 4),
        "samples_per_second": round(len(rows.tokens) / seconds, 3),
        "steps_per_second": round(len(batches) / seconds, 3),
    }
    named = {f"{rows.name}_{key}": float(value) for key, value in metrics.items()}
    return Evaluated(named, found.predictions if settings.generate else [], row_scores)


def batch_rows(tokens: Dataset, settings: EvaluationSettings) -> Iterator[list[int]]:
    """Yield the row numbers of each batch.

    Long rows come first where rows are sorted, so that what does not fit in memory shows at once.
    """
    lengths = [len(ids) for ids in tokens["input_ids"]]
    order = list(range(len(lengths)))
    if settings.sort_by_length:
        order.sort(key=lambda number: -lengths[number])
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
        return rows * longest <= settings.batch_tokens
    return rows <= settings.batch_rows


@contextlib.contextmanager
def _own_random_numbers(device: torch.device, seed: int) -> Iterator[None]:
    """Sample from `seed`, and leave training's random numbers as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


class _Found:
    """What the batches gave so far, by row."""

    def __init__(self, rows: int, mean_of_batches: bool) -> None:
        self.predictions = [""] * rows
        self.lengths = [0] * rows
        self.losses = _LossMean(mean_of_batches)


def _evaluate_batch(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    collate: Collator,
    rows: Sequence[dict[str, list[int]]],
    numbers: Sequence[int],
    settings: EvaluationSettings,
    found: _Found,
) -> None:
    """Add the loss and the summaries of the rows with `numbers` to `found`."""
    batch = _moved(collate(rows), model.device)
    # A row without a reference takes no part in the loss, and keeps no other row out of it.
    with_reference = [row for row in rows if row["labels"]]
    if len(with_reference) == len(rows):
        found.losses.add(model, batch)
    elif with_reference:
        found.losses.add(model, _moved(collate(with_reference), model.device))
    if not settings.generate:
        return
    generated = _generate(model, batch, settings.generation)
    texts = tokenizer.batch_decode(generated, skip_special_tokens=True)
    counts = generated.ne(tokenizer.pad_token_id).sum(dim=1).tolist()
    for number, text, count in zip(numbers, texts, counts, strict=True):
        found.predictions[number], found.lengths[number] = text.strip(), count


def _moved(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in batch.items()}


class _LossMean:
    """The mean loss over all target tokens (or, as upstream has it, over the batches' means)."""

    def __init__(self, mean_of_batches: bool) -> None:
        self._mean_of_batches = mean_of_batches
        self._sum = 0.0
        self._count = 0

    def add(self, model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> None:
        """Add a batch of rows that all have labels."""
        labels = batch["labels"]
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        total = token_loss_sum(model(**inputs).logits, labels).item()
        count = int(count_targets(labels))
        rows = labels.shape[0]
        self._sum += total / count * rows if self._mean_of_batches else total
        self._count += rows if self._mean_of_batches else count

    def metrics(self) -> dict[str, float]:
        """Return `loss`, or nothing where no row had labels."""
        return {"loss": self._sum / self._count} if self._count else {}


def _autocast(
    model: PreTrainedModel, dtype: torch.dtype | None
) -> contextlib.AbstractContextManager[object]:
    if dtype is None:
        return contextlib.nullcontext()
    return torch.autocast(model.device.type, dtype=dtype)


def _generate(
    model: PreTrainedModel, batch: dict[str, torch.Tensor], generation: GenerationConfig
) -> torch.Tensor:
    """Return (rows, target tokens) generated token ids."""
    names = ("input_ids", "attention_mask", "global_attention_mask")
    inputs = {name: batch[name] for name in names if name in batch}
    generated = model.generate(**inputs, generation_config=generation)
    assert isinstance(generated, torch.Tensor)
    return generated


def _score(
    rows: EvaluationSet,
    predictions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    settings: EvaluationSettings,
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Score the rows that have a reference; the others' scores are left out (see `row_scores`)."""
    references = list(rows.rows["summary"])
    scored = [number for number, text in enumerate(references) if text]
    if settings.references_from_labels:
        decoded = tokenizer.batch_decode(list(rows.tokens["labels"]), skip_special_tokens=True)
        references = [text.strip() for text in decoded]
    if rows.scorer is None or not scored:
        return {}, {}
    scores = rows.scorer.score(
        [predictions[number] for number in scored], [references[number] for number in scored]
    )
    return {**scores.summary, **rows.baseline}, scores.rows
