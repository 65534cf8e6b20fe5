"""Collator: tokenized rows to the tensors of a batch."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

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
"""Rows of `input_ids` and, if they have references, `labels`."""


class Collator(ABC):
    """Collates rows into batches for training and for generation."""

    @abstractmethod
    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return a batch whose logits and labels are aligned position by position.

        Args:
            rows: rows of `input_ids`, either all or none with `labels`; a decoder-only model
                requires labels.

        Returns:
            `input_ids`, `attention_mask` (rows, tokens), `labels` (rows, positions with logits),
            and further inputs of the model:

            - encoder-decoder: `decoder_input_ids` (rows, target tokens); for LED also
              `global_attention_mask` (rows, source tokens);
            - decoder-only: `logits_to_keep`, the positions with logits, from the start of the first
              summary on.
        """

    @abstractmethod
    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]:
        """Return the inputs of generation: `input_ids`, `attention_mask` and the like."""

    @abstractmethod
    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]:
        """Return (rows,) the number of tokens of each row, which determines padding."""


def build_collator(
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    config: DataConfig,
    *,
    pad_to_multiple_of: int | None = None,
) -> Collator:
    """Return the collator of `model`.

    Args:
        tokenizer: has the padding token.
        model: an encoder-decoder or a decoder-only model.
        config: the `data` group: padding in the loss, static shapes.
        pad_to_multiple_of: tokens; 8 suits the tensor cores of GPUs in half precision.
    """
    of_kind = _EncoderDecoder if model.config.is_encoder_decoder else _DecoderOnly
    return of_kind(tokenizer, model, config, pad_to_multiple_of)


class _EncoderDecoder(Collator):
    """The document is the encoder's input, the summary is the decoder's."""

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

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        features = [{"input_ids": list(row["input_ids"])} for row in rows]
        if all(row.get("labels") for row in rows):
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = list(row["labels"])
        if self._config.pad_to_max_length:
            features = [self._padded_to_maximum(feature) for feature in features]
        # Upstream returns labels of None if there are none.
        batch = {name: value for name, value in self._pad(features).items() if value is not None}
        if "labels" in batch and "decoder_input_ids" not in batch:
            batch["decoder_input_ids"] = self._decoder_inputs(batch["labels"])
        if self._with_global_attention:
            # LED was trained for summarization with global attention on the first token.
            mask = torch.zeros_like(batch["input_ids"])
            mask[:, 0] = 1
            batch["global_attention_mask"] = mask
        return batch

    def prompts(self, rows: Rows) -> dict[str, torch.Tensor]:
        return self([{"input_ids": row["input_ids"]} for row in rows])

    def lengths(self, tokens: Dataset) -> npt.NDArray[np.int64]:
        return row_lengths(tokens)

    def _decoder_inputs(self, labels: torch.Tensor) -> torch.Tensor:
        """Return the labels shifted right, after the decoder start token.

        Upstream (5.23) leaves this to the model, and M2M100 (also NLLB) and Blenderbot lack it.
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


class _DecoderOnly(Collator):
    """The prompt and the summary form one text.

    Padding is marked by the mask only: GPT-2 and others pad with the end token.
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

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        # The last token of the summary is a label only.
        texts = [[*row["input_ids"], *row["labels"][:-1]] for row in rows]
        longest = self._config.max_source_length + _longest_target(self._config) - 1
        batch = self._padded(texts, longest, left=False)
        labels = torch.full_like(batch["input_ids"], IGNORED)
        # The first token of the summary is predicted at the last position of the prompt.
        starts = [len(row["input_ids"]) - 1 for row in rows]
        for one, start, row in zip(labels, starts, rows, strict=True):
            one[start : start + len(row["labels"])] = torch.tensor(row["labels"])
        batch["labels"] = labels
        if self._leaves_logits_out:
            # The logits of a long document would take more memory than everything else.
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
        """Return padded texts and their mask; static shapes are `longest` tokens wide."""
        length = longest if self._config.pad_to_max_length else max(map(len, texts))
        shape = (len(texts), -(-length // self._multiple) * self._multiple)
        ids, mask = torch.full(shape, self._pad_token), torch.zeros(shape, dtype=torch.long)
        for number, text in enumerate(texts):
            place = slice(shape[1] - len(text), None) if left else slice(len(text))
            ids[number, place], mask[number, place] = torch.tensor(text), 1
        return {"input_ids": ids, "attention_mask": mask}


def _longest_target(config: DataConfig) -> int:
    return max(config.max_target_length, config.eval_target_length)
