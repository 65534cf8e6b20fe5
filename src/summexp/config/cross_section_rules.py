"""Validation rules between keys of different sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from summexp.config.aliases import NO_EFFECT
from summexp.config.keys import declared_fields
from summexp.data.split_sources import BUNDLED
from summexp.engines.supported_fields import rejected
from summexp.errors import Problem, nearest
from summexp.metrics.language import language_problem
from summexp.metrics.registry import METRICS, SCORES, chosen_metrics, evaluate_metrics
from summexp.metrics.rouge import ROUGE
from summexp.metrics.score import BASELINES, GEN_LEN, LOSS, flat_name

if TYPE_CHECKING:
    from summexp.config.schema import Config

_METRICS = (LOSS.name, GEN_LEN.name)
_LARGEST_SEED = 2**32 - 1
"""Maximum seed of numpy, which upstream seeds too."""
SAMPLING: dict[str, float | None] = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""Options of sampling, with their neutral values."""
_BEAM_SEARCH: dict[str, float | None] = {"early_stopping": False, "length_penalty": 1.0}
"""Options of beam search, with their neutral values."""
_NAMED = 6
"""Number of metrics listed in a message."""
_TRAINING_METRICS = ("train_loss", "train_runtime", "train_samples_per_second")


def rule_problems(config: Config) -> Iterator[Problem]:
    """Yield the problem of each violated rule of a complete config."""
    yield from _seeds(config)
    yield from _data_source(config)
    yield from _without_effect(config)
    yield from _sampler(config)
    yield from _generation_modes(config)
    yield from rejected(config.training, config.engine)
    yield from _freezing(config)
    yield from _early_stopping(config)
    yield from _phases(config)
    yield from _network(config)
    yield from _metric_names(config)
    if config.data.language is not None and (problem := language_problem(config.data.language)):
        yield problem


def _seeds(config: Config) -> Iterator[Problem]:
    for key, seed in (("seed", config.seed), ("training.data_seed", config.training.data_seed)):
        if seed is not None and not 0 <= seed <= _LARGEST_SEED:
            what = f"must lie between 0 and {_LARGEST_SEED}, not {seed}"
            yield Problem(key=key, what=what, hint=f"Set {key}=42, or another such number.")


def _data_source(config: Config) -> Iterator[Problem]:
    """Yield the keys of `data.*` that only apply to a Hub repository, if there is none."""
    data = config.data
    if data.name not in (None, BUNDLED):
        return
    ignored = ["config_name", "revision"]
    if data.name is None:
        ignored += ["train_split", "validation_split", "test_split"]
        what = "applies to data.name, which is not set, and has no effect on files"
        hint = "Remove it."
    else:
        columns = ["text_column", "summary_column", "id_column", "references_column"]
        # Those of a file that is predicted are not the corpus's.
        ignored += [] if data.test_file else columns
        what = f"has no effect on {BUNDLED}, the bundled corpus"
        hint = "Remove it, or name your own data: data=custom_csv data.train_file=FILE"
    own = {"text_column": "document", "summary_column": "summary", "id_column": "id"}
    for name in ignored:
        value = getattr(data, name)
        if value not in (_default(declared_fields()[f"data.{name}"]), own.get(name)):
            yield Problem(key=f"data.{name}", what=what, hint=hint)


def _without_effect(config: Config) -> Iterator[Problem]:
    for key, (what, harmless) in NO_EFFECT.items():
        section, _, name = key.partition(".")
        value = getattr(getattr(config, section), name)
        if value not in (_default(declared_fields()[key]), *harmless):
            yield Problem(key=key, what=what, hint="Remove it.")


def _default(spec: Field[Any]) -> Any:
    return spec.default if spec.default_factory is MISSING else spec.default_factory()


def _sampler(config: Config) -> Iterator[Problem]:
    if config.engine.sampler != "length_grouped":
        return
    for name in ("train_sampling_strategy", "length_column_name"):
        key = f"training.{name}"
        if getattr(config.training, name) != declared_fields()[key].default:
            yield Problem(
                key=key,
                what="has no effect with engine.sampler=length_grouped",
                hint="Add engine.sampler=upstream, or remove it.",
            )


def _generation_modes(config: Config) -> Iterator[Problem]:
    """Yield options of sampling or beam search that have no effect, since it is disabled.

    Upstream (5.23) rejects them too, after loading the model. Pretrained models have their own
    settings, so that only explicit values are known here.
    """
    own = config.model.init == "random" or config.debug.tiny
    do_sample, num_beams = config.generation.do_sample, config.generation.num_beams
    modes = []
    if do_sample is False or (do_sample is None and own):
        modes.append((SAMPLING, "sampling", "generation.do_sample=true"))
    if num_beams == 1:
        modes.append((_BEAM_SEARCH, "beam search", "generation.num_beams=4"))
    for neutral, mode, setting in modes:
        for name, default in neutral.items():
            if getattr(config.generation, name) not in (None, default):
                what = f"only has an effect with {mode}, which is disabled"
                hint = f"Set {setting}, or remove it."
                yield Problem(key=f"generation.{name}", what=what, hint=hint)


def _freezing(config: Config) -> Iterator[Problem]:
    """Yield values of `model.freeze` that are redundant, or leave nothing to train."""
    if config.peft.name == "none":
        return
    frozen = config.model.freeze
    if "embeddings" in frozen and not config.peft.modules_to_save:
        yield Problem(
            key="model.freeze",
            what=f"embeddings are frozen anyway with peft={config.peft.name}",
            hint="Remove them.",
        )
    if {"encoder", "decoder"} <= {*frozen} and not config.peft.modules_to_save:
        yield Problem(
            key="model.freeze",
            what=f"encoder and decoder leave nothing to train with peft={config.peft.name}",
            hint="Remove one of them: no adapter is trained in the other.",
        )


def _early_stopping(config: Config) -> Iterator[Problem]:
    if config.engine.early_stopping_patience is None or not config.training.do_train:
        return
    if config.training.eval_strategy == "no" or not config.training.do_eval:
        yield Problem(
            key="engine.early_stopping_patience",
            what="needs evaluations during training, and there are none",
            hint="Set training.eval_strategy=epoch and training.do_eval=true.",
        )


def _phases(config: Config) -> Iterator[Problem]:
    training = config.training
    if not (training.do_train or training.do_eval or training.do_predict):
        yield Problem(
            key="training.do_train",
            what="and do_eval and do_predict are all false: nothing to do",
            hint="Set training.do_train=true, or another of the three.",
        )
    if training.do_train and (training.max_steps == 0 or training.max_steps < -1):
        yield Problem(
            key="training.max_steps",
            what="must be at least 1, or -1 to use training.num_train_epochs, not "
            f"{training.max_steps}",
            hint="Set training.max_steps=-1, or training.do_train=false to skip training.",
        )
    if config.data.streaming and training.do_train and training.max_steps <= 0:
        yield Problem(
            key="data.streaming",
            what="is true, so the length of an epoch is unknown",
            hint="Set the number of steps: training.max_steps=10000",
        )
    if training.do_train and training.load_best_model_at_end and not training.do_eval:
        yield Problem(
            key="training.load_best_model_at_end",
            what="needs training.do_eval, which is false",
            hint="Set training.do_eval=true.",
        )
    if config.data.streaming and config.debug.overfit:
        yield Problem(
            key="data.streaming",
            what="is true, and debug=overfit evaluates the training rows, which a stream does not "
            "keep",
            hint="Set data.streaming=false.",
        )


def _network(config: Config) -> Iterator[Problem]:
    if "://" in (config.output_dir or ""):
        yield Problem(
            key="output_dir",
            what=f"{config.output_dir} is a URL; only local folders are supported",
            hint="Set a local folder, such as output_dir=outputs/mine, and copy it after the run.",
        )
    if config.offline and config.training.push_to_hub:
        yield Problem(
            key="training.push_to_hub",
            what="needs the network, and offline is true",
            hint="Set training.push_to_hub=false, or offline=false.",
        )
    if config.training.push_to_hub and not (config.training.hub_model_id or config.output_dir):
        yield Problem(
            key="training.hub_model_id",
            what="is not set, and the name of a fresh run folder, a time, is no repository name",
            hint="Name the repository: training.hub_model_id=my-summarizer",
        )
    if config.training.push_to_hub:
        yield from _repository_name(config)
    strategy = config.training.hub_strategy
    if config.training.push_to_hub and strategy not in ("end", "every_save"):
        yield Problem(
            key="training.hub_strategy",
            what=f"{strategy} would upload checkpoints with local paths and the optimizer state",
            hint="Set training.hub_strategy=every_save to upload the model of each checkpoint, or "
            "end.",
        )


def _repository_name(config: Config) -> Iterator[Problem]:
    """Yield the problem of an invalid repository name."""
    # Imported late: it is slow.
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    name = config.training.hub_model_id or Path(config.output_dir or "").absolute().name
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        yield Problem(
            key="training.hub_model_id",
            what=f"{name!r} is not a repository name: {str(error).splitlines()[0].rstrip('.')}",
            hint="Name it owner/name: training.hub_model_id=me/my-summarizer",
        )


def _metric_names(config: Config) -> Iterator[Problem]:
    """Yield unknown metric names, which would only fail after training."""
    sets = config.data.validation_prefixes
    scores = [score.name for one in chosen_metrics(config.metric.names) for score in one.scores]
    bounds = [f"{name}_{end}" for name in scores for end in ("low", "high")]
    generated = config.training.predict_with_generate and not config.training.prediction_loss_only
    scored = (*_METRICS, *scores, *bounds) if generated else (LOSS.name,)
    names = [flat_name(one, name) for one in sets for name in scored]
    objectives = [*names, *(name.replace("eval", "predict", 1) for name in names)]
    objectives += _TRAINING_METRICS
    if config.metric.baseline and ROUGE.name in config.metric.names:
        # lead-1 or lead-3, depending on the summaries.
        leads = [f"{lead}_{score.name}" for lead in BASELINES for score in ROUGE.scores]
        objectives += [flat_name(one, name) for one in sets for name in leads]
    sets_of_all = (*sets, "predict")
    chosen = config.objective != declared_fields()["objective"].default
    is_foreign = _is_of_evaluate(config, sets_of_all, config.objective) and generated
    if chosen and config.objective not in objectives and not is_foreign:
        yield _no_metric(config, "objective", config.objective, objectives)
    best = config.training.metric_for_best_model
    if best is None and "eval_loss" not in names and _chooses_by_score(config):
        yield Problem(
            key="training.metric_for_best_model",
            what="is not set, and there are several validation sets to choose by",
            hint=f"Name one of its metrics, such as {names[0]}.",
        )
    if best is None:
        return
    is_foreign = _is_of_evaluate(config, sets, best) and generated
    if best not in names and f"eval_{best}" not in names and not is_foreign:
        yield _no_metric(config, "training.metric_for_best_model", best, names)
    elif config.training.greater_is_better is None and is_foreign:
        yield _no_direction(best, "the direction of a metric of evaluate is unknown")
    elif config.training.greater_is_better is None:
        yield from _direction(sets, best)


def _is_of_evaluate(config: Config, sets: Sequence[str], name: str) -> bool:
    """Return whether a metric of the `evaluate` library may compute it.

    Whether it does shows when it is loaded: see `runs/score_checks.py`.
    """
    return any(
        metric.may_compute(name.removeprefix(f"{one}_"))
        for metric in evaluate_metrics(config.metric.names)
        for one in sets
    )


def _direction(sets: list[str], best: str) -> Iterator[Problem]:
    """Yield the problem of a metric for which upstream's default direction is wrong."""
    described = [score for score in (*SCORES.values(), GEN_LEN) if not score.higher_is_better]
    for score in described:
        ends = (score.name, f"{score.name}_low", f"{score.name}_high")
        if best not in (*ends, *(flat_name(one, end) for one in sets for end in ends)):
            continue
        is_lower = score.higher_is_better is False
        better = "lower is" if is_lower else "neither higher nor lower is always"
        yield _no_direction(best, f"{better} better")


def _no_direction(best: str, why: str) -> Problem:
    return Problem(
        key="training.greater_is_better",
        what=f"is required for {best}: {why}",
        hint="Set training.greater_is_better=false to select the lowest value, or true.",
    )


def _chooses_by_score(config: Config) -> bool:
    training = config.training
    by_score = ("reduce_lr_on_plateau", "greedy")
    return (
        config.engine.early_stopping_patience is not None
        or training.load_best_model_at_end
        or training.save_strategy == "best"
        or training.lr_scheduler_type in by_score
    )


def _no_metric(config: Config, key: str, name: str, known: list[str]) -> Problem:
    hint = nearest(name, known) or nearest(f"eval_{name}", known)
    sets = (*config.data.validation_prefixes, "predict")
    for metric in METRICS.values():
        scores = [score.name for score in metric.scores]
        if name not in (*scores, *(flat_name(one, score) for one in sets for score in scores)):
            continue
        hint = f"It is not computed: metric.names lacks {metric.name}."
        if metric.name in config.metric.names:
            hint = (
                "It needs generated summaries: set training.predict_with_generate=true "
                "and remove training.prediction_loss_only."
            )
    listed = ", ".join(islice(known, _NAMED))
    return Problem(
        key=key, what=f"there is no metric {name!r}", hint=hint or f"Available: {listed}."
    )
