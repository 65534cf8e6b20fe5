"""From tokenized rows to the tensors of one batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.config import DataConfig
from summexp.data.tokenize import row_lengths

IGNORED = -100
"""Label of a position that does not count in the loss."""

Rows = Sequence[Mapping[str, Any]]
"""Rows of `input_ids` and, where there are references, `labels`."""


class Collator:
    """Makes the batches that a model is trained on, and those that it generates from."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model: PreTrainedModel,
        config: DataConfig,
        *,
        pad_to_multiple_of: int | None = None,
    ) -> None:
        """Collate for `model`.

        Args:
            tokenizer: knows the padding token.
            model: an encoder-decoder, which turns labels into its decoder's input, or a
                decoder-only model.
            config: the `data` group: whether padding counts, and whether shapes are static.
            pad_to_multiple_of: tokens; 8 suits the matrix units of GPUs in half precision.
        """
        layout = _TwoTexts if model.config.is_encoder_decoder else _OneText
        self._layout: _Layout = layout(tokenizer, model, config, pad_to_multiple_of)

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return a batch whose logits at each position are to be scored against its labels there.

        Args:
            rows: each with `input_ids`, and all of them or none with `labels`; a decoder-only model
                needs them.

        Returns:
            `input_ids`, `attention_mask` (rows, tokens), `labels` (rows, positions with logits),
            and what else the model takes:

            - an encoder-decoder `decoder_input_ids` (rows, target tokens), and LED
              `global_attention_mask` (rows, source tokens);
            - a decoder-only model `logits_to_keep`, the positions with logits: those before the
              first summary begins have none.
        """
        return self._layout.batch(rows)

    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return what summaries are generated from: `input_ids`, `attention_mask` and the like."""
        return self._layout.prompts(rows)

    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]:
        """Return (rows,) the tokens that a batch of rows is padded to the longest of."""
        return self._layout.lengths(tokens)


class _Layout(Protocol):
    """Where documents and summaries stand in a batch."""

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]: ...

    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]: ...

    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]: ...


class _TwoTexts:
    """The document for the encoder, the summary for the decoder."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model: PreTrainedModel,
        config: DataConfig,
        multiple: int | None,
    ) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._with_global_attention = model.config.model_type == "led"
        self._decoder_start = model.config.decoder_start_token_id
        self._label_pad = IGNORED if config.ignore_pad_token_for_loss else tokenizer.pad_token_id
        self._pad = DataCollatorForSeq2Seq(
            tokenizer,
            model=model,
            label_pad_token_id=self._label_pad,
            pad_to_multiple_of=multiple,
        )

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        features = [{"input_ids": list(row["input_ids"])} for row in rows]
        if all(row.get("labels") for row in rows):
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = list(row["labels"])
        if self._config.pad_to_max_length:
            features = [self._padded_to_maximum(feature) for feature in features]
        # Upstream says that there are no labels by a None.
        batch = {name: value for name, value in self._pad(features).items() if value is not None}
        if "labels" in batch and "decoder_input_ids" not in batch:
            batch["decoder_input_ids"] = self._decoder_inputs(batch["labels"])
        if self._with_global_attention:
            # LED's summaries were trained with global attention on the first token.
            mask = torch.zeros_like(batch["input_ids"])
            mask[:, 0] = 1
            batch["global_attention_mask"] = mask
        return batch

    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]:
        return self.batch([{"input_ids": row["input_ids"]} for row in rows])

    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]:
        return row_lengths(tokens)

    def _decoder_inputs(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the labels, one place to the right, behind the token that the decoder starts with.

        Upstream (5.23) leaves this to the model, and M2M100 (NLLB too) and Blenderbot cannot do it.
        """
        shifted = labels.roll(1, dims=1)
        shifted[:, 0] = self._decoder_start
        return shifted.masked_fill(shifted == IGNORED, self._tokenizer.pad_token_id)

    def _padded_to_maximum(self, feature: dict[str, list[int]]) -> dict[str, list[int]]:
        ids = feature["input_ids"]
        missing = self._config.max_source_length - len(ids)
        feature["attention_mask"] = [1] * len(ids) + [0] * missing
        feature["input_ids"] = ids + [self._tokenizer.pad_token_id] * missing
        if "labels" in feature:
            labels = feature["labels"]
            missing = _longest_target(self._config) - len(labels)
            feature["labels"] = labels + [self._label_pad] * missing
        return feature


class _OneText:
    """The prompt, and after it the summary, as one text.

    What is padding is known by the mask alone: GPT-2 and others pad with the token that ends texts.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        model: PreTrainedModel,
        config: DataConfig,
        multiple: int | None,
    ) -> None:
        self._config = config
        self._pad_token = tokenizer.pad_token_id
        self._multiple = multiple or 1
        # Static shapes have logits everywhere.
        takes = inspect.signature(model.forward).parameters
        self._leaves_logits_out = "logits_to_keep" in takes and not config.pad_to_max_length

    def batch(self, rows: Rows) -> dict[str, torch.Tensor]:
        # The summary's last token is one to be predicted, and nothing is from it.
        texts = [[*row["input_ids"], *row["labels"][:-1]] for row in rows]
        longest = self._config.max_source_length + _longest_target(self._config) - 1
        batch = self._padded(texts, longest, left=False)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        # The summary's first token is predicted at the prompt's last.
        starts = [len(row["input_ids"]) - 1 for row in rows]
        for one, start, row in zip(labels, starts, rows, strict=True):
            one[start : start + len(row["labels"])] = torch.tensor(row["labels"])
        batch["labels"] = labels
        if self._leaves_logits_out:
            # Of a long document they would take more memory than all else.
            batch["logits_to_keep"] = torch.arange(min(starts), labels.shape[1])
            batch["labels"] = labels[:, min(starts) :]
        return batch

    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]:
        texts = [list(row["input_ids"]) for row in rows]
        return self._padded(texts, self._config.max_source_length, left=True)

    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]:
        return row_lengths(tokens) + row_lengths(tokens, "labels")

    def _padded(
        self, texts: list[list[int]], longest: int, *, left: bool
    ) -> dict[str, torch.Tensor]:
        """Return texts side by side; static shapes are `longest` tokens wide."""
        length = longest if self._config.pad_to_max_length else max(map(len, texts))
        shape = (len(texts), -(-length // self._multiple) * self._multiple)
        ids, mask = torch.full(shape, self._pad_token), torch.zeros(shape, dtype=torch.long)
        for number, text in enumerate(texts):
            place = slice(shape[1] - len(text), None) if left else slice(len(text))
            ids[number, place], mask[number, place] = torch.tensor(text), 1
        return {"input_ids": ids, "attention_mask": mask}


def _longest_target(config: DataConfig) -> int:
    return max(config.max_target_length, config.eval_target_length)
