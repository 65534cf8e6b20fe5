"""From tokenized rows to the tensors of one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, PreTrainedModel, PreTrainedTokenizerBase

from summexp.data.config import DataConfig

IGNORED = -100
"""Label of a position that does not count in the loss."""


class Collator:
    """Pads documents and summaries, and gives LED its global attention."""

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
            model: turns labels into the decoder's input.
            config: the `data` group: whether padding counts, and whether shapes are static.
            pad_to_multiple_of: tokens; 8 suits the matrix units of GPUs in half precision.
        """
        self._config = config
        self._tokenizer = tokenizer
        self._with_global_attention = model.config.model_type == "led"
        self._label_pad = IGNORED if config.ignore_pad_token_for_loss else tokenizer.pad_token_id
        self._pad = DataCollatorForSeq2Seq(
            tokenizer,
            model=model,
            label_pad_token_id=self._label_pad,
            pad_to_multiple_of=pad_to_multiple_of,
        )

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return the batch.

        Args:
            rows: each with `input_ids` and, where there are references, `labels`.

        Returns:
            `input_ids`, `attention_mask` (rows, source tokens), `labels`, `decoder_input_ids`
            (rows, target tokens; only where every row has labels), and `global_attention_mask`
            (rows, source tokens) for LED.
        """
        features = [{"input_ids": list(row["input_ids"])} for row in rows]
        if all(row.get("labels") for row in rows):
            for feature, row in zip(features, rows, strict=True):
                feature["labels"] = list(row["labels"])
        if self._config.pad_to_max_length:
            features = [self._padded_to_maximum(feature) for feature in features]
        # Upstream says that there are no labels by a None.
        batch = {name: value for name, value in self._pad(features).items() if value is not None}
        if self._with_global_attention:
            # LED's summaries were trained with global attention on the first token.
            mask = torch.zeros_like(batch["input_ids"])
            mask[:, 0] = 1
            batch["global_attention_mask"] = mask
        return batch

    def _padded_to_maximum(self, feature: dict[str, list[int]]) -> dict[str, list[int]]:
        ids = feature["input_ids"]
        missing = self._config.max_source_length - len(ids)
        feature["attention_mask"] = [1] * len(ids) + [0] * missing
        feature["input_ids"] = ids + [self._tokenizer.pad_token_id] * missing
        if "labels" in feature:
            length = max(self._config.max_target_length, self._config.eval_target_length)
            labels = feature["labels"]
            feature["labels"] = labels + [self._label_pad] * (length - len(labels))
        return feature
