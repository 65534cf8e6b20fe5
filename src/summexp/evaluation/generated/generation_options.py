"""Every option of transformers' `GenerationConfig`; null leaves it to the model's own.

Written by `tools/generate_schemas.py` from the installed transformers: edit only the sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from summexp.evaluation.generation_rules import check_generation
from summexp.options import choice


@dataclass(kw_only=True)
class GenerationOptions:
    """Every option of transformers' `GenerationConfig`; null leaves it to the model's own."""

    max_length: int | None = None
    """Longest summary in tokens, the decoder's start token included."""
    max_new_tokens: int | None = None
    """Longest summary in tokens, the decoder's start token not counted."""
    min_length: int | None = None
    """Shortest summary in tokens, the decoder's start token included."""
    min_new_tokens: int | None = None
    """Shortest summary in tokens, the decoder's start token not counted."""
    early_stopping: bool | str | None = None
    """When beam search ends: true at enough candidates, false by a guess, `never` when sure."""
    max_time: float | None = None
    """Seconds after which a batch's generation stops."""
    stop_strings: Any = None
    """Text, or a list of texts, after which a summary ends."""
    do_sample: bool | None = None
    """Draw each token at random by its probability instead of taking the likeliest."""
    num_beams: int | None = None
    """Candidates that beam search follows at a time; 1 is no beam search."""
    use_mtp: bool | None = None
    """Predict several tokens at once, for the models trained to."""
    use_cache: bool | None = None
    """Keep the keys and values of earlier tokens, which makes generation faster."""
    cache_implementation: str | None = choice(
        None,
        "static",
        "offloaded_static",
        "sliding_window",
        "hybrid",
        "hybrid_chunked",
        "offloaded_hybrid",
        "offloaded_hybrid_chunked",
        "dynamic",
        "offloaded",
        "quantized",
        "paged",
    )
    """Where and how those keys and values are kept."""
    cache_config: Any = None
    """Options of that cache, a mapping such as {nbits: 4}."""
    max_cache_len: int | None = None
    """Tokens that a static cache holds room for."""
    temperature: float | None = None
    """Divides the scores before sampling: below 1 safer, above 1 more varied."""
    top_k: int | None = None
    """Sample among this many likeliest tokens only; 0 among all."""
    top_p: float | None = None
    """Sample among the likeliest tokens that make up this probability together."""
    min_p: float | None = None
    """Sample only tokens at least this share as likely as the likeliest, 0 to 1."""
    top_h: float | None = None
    """Sample among the tokens that hold this share of the entropy, 0 to 1."""
    typical_p: float | None = None
    """Sample among the most typical tokens that make up this probability together."""
    epsilon_cutoff: float | None = None
    """Never sample a token less likely than this, 0 to 1; 0 disables it."""
    eta_cutoff: float | None = None
    """Never sample a token below a limit that falls with the entropy, 0 to 1; 0 disables it."""
    repetition_penalty: float | None = None
    """Divides the score of tokens that were already written; 1 is none."""
    encoder_repetition_penalty: float | None = None
    """Above 1, favours tokens that occur in the document; 1 is none."""
    length_penalty: float | None = None
    """Above 0 beam search likes long summaries, below 0 short ones; 1 is the plain mean."""
    no_repeat_ngram_size: int | None = None
    """No sequence of this many tokens occurs twice in a summary; 0 disables it."""
    bad_words_ids: list[list[int]] | None = None
    """Token sequences that are never written, a list of lists of ids."""
    renormalize_logits: bool | None = None
    """Turn scores into probabilities again after every rule has changed them."""
    forced_bos_token_id: int | None = None
    """Id of the first token after the start, such as the language code of mBART."""
    forced_eos_token_id: Any = None
    """Id, or list of ids, of the last token when the longest length is reached."""
    remove_invalid_values: bool | None = None
    """Replace NaN and infinite scores, which is slower, instead of failing."""
    exponential_decay_length_penalty: list[float] | None = None
    """Press for an end: [after this many tokens, factor by which it grows]."""
    suppress_tokens: list[int] | None = None
    """Ids of tokens that are never written."""
    begin_suppress_tokens: list[int] | None = None
    """Ids of tokens that are never written first."""
    sequence_bias: Any = None
    """Scores added to token sequences: a list of pairs such as [[[5, 7], -10.0]]."""
    token_healing: bool | None = None
    """Rewrite the prompt's last tokens so that they join the continuation."""
    guidance_scale: float | None = None
    """Above 1, follow the prompt more closely, at the cost of a second forward pass."""
    watermarking_config: Any = None
    """Mark the text invisibly: a mapping such as {bias: 2.5, context_width: 2}."""
    num_return_sequences: int | None = None
    """Summaries a document; a run writes one prediction a row and takes only 1."""
    output_attentions: bool | None = None
    """Return the attentions too; a run keeps only the summaries."""
    output_hidden_states: bool | None = None
    """Return the hidden states too; a run keeps only the summaries."""
    output_scores: bool | None = None
    """Return the scores of each token too; a run keeps only the summaries."""
    output_logits: bool | None = None
    """Return the raw scores of each token too; a run keeps only the summaries."""
    return_dict_in_generate: bool | None = None
    """Return an object with all of these; a run keeps only the summaries."""
    pad_token_id: int | None = None
    """Id of the padding token."""
    bos_token_id: int | None = None
    """Id of the token that begins a text."""
    eos_token_id: Any = None
    """Id, or list of ids, of the token that ends a summary."""
    encoder_no_repeat_ngram_size: int | None = None
    """No sequence of this many tokens is copied from the document; 0 disables it."""
    decoder_start_token_id: Any = None
    """Id of the token that the decoder starts from, or a list with one a row."""
    is_assistant: bool | None = None
    """The model drafts for a larger one; of no use in a run, which has one model."""
    num_assistant_tokens: int | None = None
    """Tokens that a drafting model writes at a time."""
    num_assistant_tokens_schedule: str | None = choice(
        None,
        "constant",
        "heuristic",
        "heuristic_transient",
    )
    """How that number changes while drafts are accepted or rejected."""
    assistant_confidence_threshold: float | None = None
    """Probability below which the drafting model stops a draft."""
    prompt_lookup_num_tokens: int | None = None
    """Draft this many tokens at a time by copying from the decoder's own text."""
    max_matching_ngram_size: int | None = None
    """Tokens that must match for such a copy; 2 if not set."""
    assistant_early_exit: int | None = None
    """Draft with the model's first layers, this many, for the models that can."""
    assistant_lookbehind: int | None = None
    """Drafted tokens re-encoded to align two tokenizers."""
    target_lookbehind: int | None = None
    """Accepted tokens re-encoded to align two tokenizers."""
    assistant_ensemble_weight: float | None = None
    """Share of the main model when drafts are judged by a mixture, between 0 and 1."""
    speculation_type: str | None = choice(None, "dflash")
    """Special way of drafting."""
    compile_config: Any = None
    """Options of torch.compile with a static cache, a mapping such as {dynamic: true}."""
    disable_compile: bool | None = None
    """Do not compile the forward pass even where that would be possible."""
    continuous_batching_config: Any = None
    """Accepted by upstream, but without effect."""
    low_memory: bool | None = None
    """No longer supported by upstream's beam search."""
    penalty_alpha: float | None = None
    """Contrastive search; removed from transformers, so generation fails."""
    dola_layers: Any = None
    """Decoding by contrasting layers; removed from transformers, so it is rejected."""
    diversity_penalty: float | None = None
    """How far beam groups keep apart; see `num_beam_groups`."""
    num_beam_groups: int | None = None
    """Groups of beams; removed from transformers, so more than 1 is rejected."""
    constraints: Any = None
    """Constrained beam search; removed from transformers, so it is rejected."""
    force_words_ids: Any = None
    """Words that must occur; removed from transformers, so it is rejected."""
    prefill_chunk_size: int | None = None
    """Tokens of the prompt read at a time, for models without encoder; null reads all."""

    def __post_init__(self) -> None:
        check_generation(self)
