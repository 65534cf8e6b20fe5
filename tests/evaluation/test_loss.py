from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from transformers.trainer_pt_utils import LabelSmoother

from summexp.evaluation.loss import count_targets, token_loss_sum

torch.manual_seed(0)
LOGITS = torch.randn(3, 5, 11)
LABELS = torch.randint(0, 11, (3, 5))
LABELS[0, 2:] = -100
LABELS[2, 4:] = -100


def test_count() -> None:
    assert int(count_targets(LABELS)) == 11


def test_mean_is_that_of_the_tokens_and_not_of_the_rows() -> None:
    by_hand = [
        -functional.log_softmax(LOGITS[row, position], dim=0)[label].item()
        for row in range(3)
        for position in range(5)
        if (label := int(LABELS[row, position])) != -100
    ]
    total = token_loss_sum(LOGITS, LABELS)
    assert total.item() == pytest.approx(sum(by_hand), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothing_is_that_of_transformers(smoothing: float) -> None:
    ours = token_loss_sum(LOGITS, LABELS, smoothing) / count_targets(LABELS)
    theirs = LabelSmoother(epsilon=smoothing)({"logits": LOGITS}, LABELS)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


def test_half_precision_is_summed_in_full() -> None:
    logits = LOGITS.to(torch.bfloat16)
    total = token_loss_sum(logits, LABELS)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(token_loss_sum(logits.float(), LABELS).item(), rel=1e-7)
