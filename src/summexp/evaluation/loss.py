"""Loss: cross-entropy averaged over all target tokens of the global batch."""

from __future__ import annotations

import torch
from torch.nn import functional

from summexp.data.collate import IGNORED


def token_loss_sum(
    logits: torch.Tensor, labels: torch.Tensor, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Return the cross-entropy summed over the target tokens, in float32.

    The loss of a model is the mean over the tokens of one batch, so that a mean over batches gives
    tokens of short batches more weight. Dividing the sum once by the tokens of the global batch
    gives the same result for every split of it.

    Args:
        logits: (rows, target tokens, vocabulary).
        labels: (rows, target tokens); positions with -100 do not count.
        label_smoothing: fraction of the target probability spread over the vocabulary, 0 to 1
            (Szegedy et al. 2016, arXiv:1512.00567).
    """
    return functional.cross_entropy(
        logits.float().flatten(0, -2),
        labels.flatten(),
        ignore_index=IGNORED,
        reduction="sum",
        label_smoothing=label_smoothing,
    )


def count_targets(labels: torch.Tensor) -> torch.Tensor:
    """Return the number of positions of `labels` that count in the loss."""
    return labels.ne(IGNORED).sum()
