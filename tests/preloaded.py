"""What the server of `tests.forked` has imported and computed before it forks: all that runs share.

A process that starts by `python train.py` begins without any of it; `tests/integration/` has those.
"""

from __future__ import annotations

import gc
from contextlib import suppress

import jinja2
import nltk.stem.porter
import rouge_score.tokenize
import sentencex
import transformers.models.bart.modeling_bart
import transformers.models.t5.modeling_t5
from tests.modeling import tiny_models
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

import summexp.engines.accelerate
import summexp.engines.trainer
import summexp.runs.phase_runner
from summexp.check import check
from summexp.command_line import parse
from summexp.data.news_briefs import bundled_rows
from summexp.reports.rendering import render

__all__ = ["nltk", "rouge_score", "sentencex", "summexp", "tiny_models", "transformers"]

# Parsers and regular expressions of Hydra, and the rows of the bundled corpus.
check(parse(["debug=tiny"]))
next(bundled_rows("train"))
# Regular expressions that transformers compiles as it first saves a model, and the templates.
get_checkpoint_conversion_mapping("t5")
for template in ("card.md.j2", "report.md.j2", "report.html.j2"):
    with suppress(jinja2.UndefinedError):
        render(template)
# The Trainer collects garbage as it begins: looking through all of this takes longer than a tiny
# training, and copies its pages.
gc.freeze()
