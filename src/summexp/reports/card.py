"""Model card: `README.md` of a run folder, with metadata for the Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData
from markupsafe import Markup

from summexp.metrics.evaluate_metric import PREFIX
from summexp.reports.facts import (
    command,
    commit,
    data_name,
    held_out_share,
    is_hub_dataset,
    is_hub_name,
    is_random,
    language_code,
    model_name,
    passes,
    source_name,
    title,
    versions,
)
from summexp.reports.rendering import render
from summexp.reports.run_results import RunResults, read_run
from summexp.reports.scores import ScoreTable, score_tables
from summexp.run_folder.atomic_files import write_text

_TASK = "summarization"
_NOT_ON_THE_HUB = "unknown"
_SHOWN_VERSIONS = ("summexp", "transformers", "torch", "datasets", "tokenizers", "python")


def write_model_card(folder: Path) -> Path:
    """Write the model card of a run folder and return its path.

    It has only what the run folder shows; a section without a fact is left out.

    Raises:
        ConfigError: `folder` holds no run, or a corrupt one.
    """
    results = read_run(folder)
    tables = score_tables(results)
    path = folder / "README.md"
    text = render(
        "card.md.j2",
        metadata=Markup(metadata(results, tables).to_yaml()),
        run=results,
        title=title(results),
        about=list(_about(results)),
        tables=tables,
        own_scales=list(dict.fromkeys(_own_scales(results))),
        limits=list(_limits(results)),
        snippet=_snippet(results) if (folder / "config.json").exists() else None,
        command=command(results, with_folders=False),
        versions=versions(results, *_SHOWN_VERSIONS),
        commit=commit(results),
    )
    write_text(path, text)
    return path


def metadata(results: RunResults, tables: list[ScoreTable]) -> ModelCardData:
    """Return the card's front matter; names are given only where the Hub can know them.

    Its fields are those of huggingface_hub's `ModelCardData`.
    """
    name = results.option("model.name_or_path")
    from_hub = bool(name) and not is_random(results) and is_hub_name(name)
    evaluated = [result for table in tables for result in _eval_results(results, table)]
    return ModelCardData(
        language=language_code(results) if results.option("data.language") else None,
        library_name="transformers",
        # The Hub's widget for summaries, and transformers' pipeline, ask for an encoder-decoder.
        pipeline_tag=_TASK if results.target_prefix is None else "text-generation",
        tags=[_TASK, "summexp"],
        base_model=name if from_hub else None,
        datasets=[results.option("data.name")] if is_hub_dataset(results) else None,
        metrics=sorted({result.metric_type for result in evaluated}, reverse=True) or None,
        model_name=title(results) if evaluated else None,
        eval_results=evaluated or None,
    )


def _eval_results(results: RunResults, table: ScoreTable) -> Iterator[EvalResult]:
    on_hub = is_hub_dataset(results)
    phase, _, name = table.set_name.partition("_")
    split = {"eval": "validation", "predict": "test"}[phase]
    place = split if held_out_share(results, split) is None else "train"
    # How long or how new a summary is, is no result that the Hub could rank.
    for score in (row.score for row in table.rows if row.score.quality):
        yield EvalResult(
            task_type=_TASK,
            task_name="Summarization",
            dataset_type=results.option("data.name") if on_hub else _NOT_ON_THE_HUB,
            dataset_name=source_name(results, table.set_name),
            dataset_config=results.option("data.config_name") if on_hub else None,
            dataset_split=name or (results.option(f"data.{place}_split") if on_hub else split),
            dataset_revision=results.option("data.revision") if on_hub else None,
            metric_type=score.metric.removeprefix(PREFIX),
            metric_name=score.label,
            metric_value=round(score.value, 4),
        )


def _own_scales(results: RunResults) -> Iterator[str]:
    """Yield each metric of the `evaluate` library: its scores are as it gives them."""
    for score in results.scores:
        if score.metric.startswith(PREFIX):
            yield score.metric.removeprefix(PREFIX)


def _about(results: RunResults) -> Iterator[str]:
    """Yield sentences on what the model is."""
    model = model_name(results)
    if not results.steps:
        yield f"This run did not train {model}."
        return
    verb = "trained" if is_random(results) else "fine-tuned"
    yield f"{model}, {verb} to summarize on {data_name(results)}."
    train = results.health.splits.get("train")
    rows = "" if train is None or train.streamed else f" on {train.used:,} rows"
    yield f"The training took {passes(results)}{rows}."
    if results.architecture and results.parameters:
        yield f"It is a {results.architecture} with {results.parameters:,} parameters."
    if results.target_prefix is not None:
        end = f" and {_literal(results.target_prefix)}" if results.target_prefix else ""
        yield f"It is given the document{end}, and continues with the summary."
    if results.adapted:
        yield from _adapter(results)


def _adapter(results: RunResults) -> Iterator[str]:
    """Yield how a LoRA adapter was trained, and where it is."""
    kind = "DoRA" if results.option("peft.use_dora") else "LoRA"
    # Layers of different blocks have one name each, but for `all-linear`.
    names = sorted({name.rpartition(".")[2] for name in results.adapted})
    scale = " (rsLoRA)" if results.option("peft.use_rslora") else ""
    settings = (
        f"rank {results.option('peft.rank')}, alpha {results.option('peft.alpha'):g}{scale}, "
        f"dropout {results.option('peft.dropout'):g}; on {', '.join(names)}"
    )
    yield (
        f"A {kind} adapter of {results.trainable:,} weights was trained ({settings}) and merged "
        "into it."
    )
    also = [*(results.option("peft.modules_to_save") or [])]
    if (bias := results.option("peft.bias")) not in (None, "none"):
        also.append("all biases" if bias == "all" else "the biases of these layers")
    if also:
        yield f"Trained too were {', '.join(also)}."
    yield "The adapter by itself is in the folder adapter."


def _limits(results: RunResults) -> Iterator[str]:
    """Yield what a user of the model must know, from the facts of the run alone."""
    if results.option("debug.tiny"):
        yield "It was trained with debug=tiny, to test a run. It is not a useful model."
    elif is_random(results) and results.steps:
        yield "It was trained from random weights, on these rows only."
    if results.status in _ENDED and results.steps:
        yield f"The run {_ENDED[results.status]}, so that its training may not be complete."
    if limit := results.option("data.max_train_samples"):
        yield f"At most the first {limit:,} rows of the training split were used."
    yield from _cuts(results)
    if results.language and not results.option("data.language"):
        language = results.language.removeprefix("language: ").split(";")[0]
        yield f"The language of the summaries was detected: {language}."
    if any(score.metric == "rouge" for score in results.scores):
        yield (
            "ROUGE counts words shared with a reference. Whether a summary is true to its document "
            "was not measured."
        )


_ENDED = {"failed": "failed", "interrupted": "was interrupted"}


def _cuts(results: RunResults) -> Iterator[str]:
    lengths = {
        "documents": results.option("data.max_source_length"),
        "summaries": results.option("data.max_target_length"),
    }
    train = results.health.splits.get("train")
    if train is None or not train.used:
        return
    counts = (train.truncated_documents, train.truncated_summaries)
    for (what, tokens), cut in zip(lengths.items(), counts, strict=True):
        if cut:
            share = 100 * cut / train.used
            yield f"{share:.1f} % of the training {what} were cut at {tokens:,} tokens."
    for what, share in train.unknown().items():
        yield f"{share:.1f} % of the tokens of the training {what} are unknown to the tokenizer."


def _snippet(results: RunResults) -> str:
    """Return Python code that summarizes a document with the model of the folder."""
    if results.target_prefix is not None:
        return _prompting_snippet(results, results.target_prefix)
    prefix, lang = results.option("model.source_prefix"), results.option("model.lang")
    source = f"{_literal(prefix)} + document" if prefix else "document"
    options = f", src_lang={_literal(lang)}" if lang else ""
    lines = [
        "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer",
        "",
        f"name = {_literal(_loadable_name(results))}  # the model's folder, or its name on the Hub",
        f"tokenizer = AutoTokenizer.from_pretrained(name{options})",
        "model = AutoModelForSeq2SeqLM.from_pretrained(name)",
        "",
        'document = "The text to summarize."',
        "inputs = tokenizer(",
        f"    {source},",
        f"    max_length={results.option('data.max_source_length')},",
        "    truncation=True,",
        '    return_tensors="pt",',
        ")",
    ]
    masks = "attention_mask=inputs.attention_mask"
    if results.architecture == "LEDForConditionalGeneration":
        # As in training; see data/collate.py.
        lines += ["everywhere = inputs.input_ids.new_zeros(1, inputs.input_ids.shape[1])"]
        lines += ["everywhere[:, 0] = 1"]
        masks += ", global_attention_mask=everywhere"
    lines += [
        f"summary = model.generate(inputs.input_ids, {masks})",
        "print(tokenizer.decode(summary[0], skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _prompting_snippet(results: RunResults, target_prefix: str) -> str:
    """Return such code for a decoder-only model; the prompt is as in training, data/tokenize.py."""
    prefix = results.option("model.source_prefix")
    source = f"{_literal(prefix)} + document" if prefix else "document"
    lines = [
        "import torch",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"name = {_literal(_loadable_name(results))}  # the model's folder, or its name on the Hub",
        "tokenizer = AutoTokenizer.from_pretrained(name)",
        "model = AutoModelForCausalLM.from_pretrained(name)",
        "",
        'document = "The text to summarize."',
        f"end = tokenizer({_literal(target_prefix)}, add_special_tokens=False).input_ids",
        f"room = {results.option('data.max_source_length')} - len(end)",
        f"text = tokenizer({source}, max_length=room, truncation=True).input_ids",
        "prompt = torch.tensor([text + end])",
        "output = model.generate(prompt, attention_mask=torch.ones_like(prompt))",
        "print(tokenizer.decode(output[0, prompt.shape[1] :], skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _literal(text: str) -> str:
    """Return a Python literal, for which that of JSON serves, in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _loadable_name(results: RunResults) -> str:
    hub_name = results.option("training.hub_model_id")
    return hub_name if hub_name and "/" in hub_name else results.folder.name
