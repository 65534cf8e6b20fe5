"""Content of a checkpoint: a standard model folder, and the training state to resume from.

The files are those of the Trainer, so that a run may resume with another engine.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)

from summexp.distributed.ranks import any_reduce, barrier, is_main, this_world
from summexp.engines.batches import TrainingBatches
from summexp.engines.divergence import check_weights
from summexp.engines.protocol import TrainingJob
from summexp.engines.sharded import FullModel
from summexp.errors import ConfigError
from summexp.modeling.adapters import ADAPTER_FOLDER, has_adapter, merge_adapter, save_adapter
from summexp.modeling.weights import listed, mismatch, non_finite_weights, weight_files
from summexp.permissions import follow_umask
from summexp.run_folder.checkpoints import (
    keep_only,
    make_checkpoint,
    rotate,
    step_of,
    write_manifest,
)
from summexp.run_folder.layout import is_checkpoint
from summexp.run_folder.storage_errors import (
    StorageError,
    discard_incomplete_checkpoints,
    storage_errors,
)
from summexp.upstream.accelerate import load_fsdp, save_fsdp
from summexp.upstream.transformers import (
    allow_random_state,
    run_folder,
    saving_names_of_memory,
)

log = logging.getLogger(__name__)

_RESUME = "training.resume_from_checkpoint"
STATE_FILE = "trainer_state.json"
"""Training progress and log history, in a checkpoint and in the run folder."""


@contextmanager
def new_checkpoint(args: Seq2SeqTrainingArguments, state: TrainerState) -> Iterator[Path]:
    """Yield the folder of a new checkpoint; then write its manifest and delete old checkpoints.

    Args:
        args: the run folder, and the number of checkpoints to keep.
        state: the step, and the best checkpoint, which is kept.

    Raises:
        StorageError: it could not be written; the incomplete checkpoint is deleted.
    """
    folder = run_folder(args) / f"checkpoint-{state.global_step}"
    try:
        with storage_errors(folder.parent, folder.name):
            if args.should_save:
                make_checkpoint(folder)
            barrier()
            yield folder
            # It is complete when every rank has written its files.
            barrier()
            if args.should_save:
                write_manifest(folder)
    except BaseException:
        if args.should_save:
            # On a full disk, the record of the failure needs the space.
            discard_incomplete_checkpoints(folder.parent)
        raise
    if args.should_save:
        # Older ones are deleted last, so that there is always a complete one.
        best = state.best_model_checkpoint
        rotate(folder, args.save_total_limit, None if best is None else Path(best))


def drop_foreign_best(job: TrainingJob, state: TrainerState, resumed_from: Path) -> None:
    """Drop the best checkpoint of a loaded state, unless it is in a folder of this training.

    Its path is untrusted input. Accepted is a checkpoint in the run folder, beside the checkpoint
    to resume from, or beside the one that the user named.
    """
    if state.best_model_checkpoint is None:
        return
    best, given = Path(state.best_model_checkpoint), job.training.resume_from_checkpoint
    places = [job.folder, resumed_from.parent, *([Path(given).parent] if given else [])]
    if is_checkpoint(best) and best.parent.resolve() in [place.resolve() for place in places]:
        return
    log.warning("ignoring the best checkpoint, not found beside the one to resume from: %s", best)
    state.best_model_checkpoint = None


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a standard model folder; `model` must be unsharded."""
    state = None
    if model.device.type == "xla":
        # safetensors (0.8) looks for a tensor's memory on the host.
        state = {name: one.cpu() for name, one in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    follow_umask(folder)


def save_trained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path | None,
    check: Callable[[torch.nn.Module], None],
    *,
    is_saved: bool = False,
) -> None:
    """Merge an adapter into `model`, and save the trained model.

    Args:
        model: the unsharded model; changed in place on every rank.
        tokenizer: saved with the model.
        folder: the run folder, on the rank that writes; None on the others.
        check: raises on every rank if the weights are not finite.
        is_saved: whether `save_unmerged` saved these weights.

    Raises:
        StorageError: the weights could not be written; partial files are deleted.
    """
    check(model)
    if has_adapter(model):
        if folder is not None:
            save_adapter(model, folder / ADAPTER_FOLDER)
        merge_adapter(model)
        # The product of two finite matrices may overflow.
        check(model)
    elif is_saved:
        return
    if folder is not None:
        _save_whole(model, tokenizer, folder)


def save_unmerged(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path | None,
    check: Callable[[torch.nn.Module], None],
) -> None:
    """Save the trained weights before the last evaluation, whatever becomes of it.

    Of an adapter, whose model may still be needed as it is, its own weights only.

    Args:
        model: the unsharded model; not changed.
        tokenizer: saved with the model.
        folder: the run folder, on the rank that writes; None on the others.
        check: raises on every rank if the weights are not finite.

    Raises:
        StorageError: the weights could not be written; partial files are deleted.
    """
    check(model)
    if folder is None:
        return
    log.info("saving the trained model before the last evaluation")
    if has_adapter(model):
        with storage_errors(folder, "the adapter"):
            save_adapter(model, folder / ADAPTER_FOLDER)
    else:
        _save_whole(model, tokenizer, folder)


def _save_whole(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    try:
        with storage_errors(folder, "the model"):
            save_model(model, tokenizer, folder)
    except StorageError:
        # A partial file of weights is useless and takes space.
        for file in folder.glob("model*.safetensors"):
            file.unlink()
        raise


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load the weights of a checkpoint; `model` must be unsharded.

    Raises:
        ConfigError: weights are missing, unexpected, of another shape, or not finite.
    """
    check_same_model(model, folder)
    for path in weight_files(folder):
        # Tied weights are not in the file.
        model.load_state_dict(load_file(path), strict=False)
    check_loaded(model, folder)


def check_same_model(model: PreTrainedModel, checkpoint: Path) -> None:
    """Check, before loading, that a checkpoint holds the weights of the unsharded `model`.

    Raises:
        ConfigError: weights are missing, unexpected, or of another shape.
    """
    with readable(checkpoint):
        different = mismatch(model, checkpoint)
    if different:
        raise ConfigError.of(
            key=_RESUME,
            what=f"{checkpoint} does not hold the weights of this model; {different}",
            hint="Name a checkpoint of the same model, or choose model and peft as in its run.",
        )


def read_state(checkpoint: Path) -> TrainerState:
    """Return the trainer state of a checkpoint.

    Raises:
        ConfigError: the file is missing or invalid.
    """
    with readable(checkpoint):
        state: TrainerState = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
        return state


def check_loaded(model: torch.nn.Module, checkpoint: Path) -> None:
    """Check that the loaded weights are finite; call it on every rank.

    Raises:
        ConfigError: they are not; raised on every rank.
    """
    names = non_finite_weights(model)
    if any_reduce(bool(names))[0]:
        raise ConfigError.of(
            key=_RESUME,
            what=f"{checkpoint} has weights that are not finite (NaN or infinite)"
            + (f": {listed(names)}" if names else ""),
            hint="Name an earlier checkpoint, from before the training diverged.",
        )


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Turn errors of loading a checkpoint into a `ConfigError`.

    Raises:
        ConfigError: a file is corrupt or of another training.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (
        *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(RuntimeError, SafetensorError, UnpicklingError),
    ) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ConfigError.of(
            key=_RESUME,
            what=f"cannot resume from {checkpoint}: {reason}",
            hint="Name a checkpoint of the same model and the same training.*; to start from "
            f"its weights only, set model.name_or_path={checkpoint} instead.",
        ) from error


class Checkpoints:
    """Saves and loads checkpoints: model, optimizer, schedule, random numbers."""

    def __init__(
        self,
        job: TrainingJob,
        args: Seq2SeqTrainingArguments,
        accelerator: Accelerator,
        full_model: FullModel,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Any,
    ) -> None:
        """Store the objects to save, as prepared by `accelerator`."""
        self._job = job
        self._args = args
        self._accelerator = accelerator
        self._full_model = full_model
        self._tokenizer = job.tokenizer
        self._fp16 = job.training.fp16
        self._model = model
        self._optimizer = optimizer
        self._fsdp = accelerator.distributed_type == DistributedType.FSDP
        self._deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED
        self._saved_step = -1
        self._stateful = {"scheduler.pt": schedule}
        if accelerator.scaler is not None:
            self._stateful["scaler.pt"] = accelerator.scaler
        if not (self._fsdp or self._deepspeed):
            self._stateful["optimizer.pt"] = optimizer

    def begin(self, batches: TrainingBatches, resume_from: Path | None) -> TrainerState:
        """Return the state of a training that starts, or resumes from a checkpoint.

        Args:
            batches: the batches of the training.
            resume_from: the checkpoint; the model has its weights already (see `load_weights`).
        """
        # Without a control in the state, the Trainer (5.23) could resume, but not save.
        # TrainerState asks of a callback only what a control has too.
        state = TrainerState(stateful_callbacks=[cast("TrainerCallback", TrainerControl())])
        if resume_from is not None:
            state = read_state(resume_from)
            self._load_progress(resume_from)
            drop_foreign_best(self._job, state, resume_from)
        state.max_steps = batches.steps
        state.num_train_epochs = math.ceil(batches.steps / batches.steps_a_pass)
        state.train_batch_size = self._args.train_batch_size
        state.is_world_process_zero = is_main()
        state.is_local_process_zero = this_world().local_rank == 0
        # Intervals given as a fraction of all steps become numbers of steps.
        state.compute_steps(self._args, batches.steps)
        self._state = state
        return state

    def _load_progress(self, folder: Path) -> None:
        with readable(folder):
            self._read_progress(folder)

    def _read_progress(self, folder: Path) -> None:
        if self._fsdp:
            load_fsdp(self._accelerator, self._model, self._optimizer, folder)
        elif self._deepspeed:
            engine: Any = self._model
            engine.load_checkpoint(folder)
        for name, part in self._stateful.items():
            part.load_state_dict(torch.load(folder / name, map_location="cpu", weights_only=True))
        if (folder / _random_file()).is_file():
            _restore_random_numbers(folder / _random_file())

    def save(self, state: TrainerState) -> None:
        """Save a checkpoint of `state`."""
        args = self._args
        self._check_weights(self._model, state.global_step)
        with new_checkpoint(args, state) as folder:
            # All ranks gather the weights, and one keeps them.
            place = torch.device("cpu" if args.should_save else "meta")
            model = self._full_model.copy(self._model, place)
            if args.should_save:
                # It is loaded as it is.
                with saving_names_of_memory(model):
                    save_model(model, self._tokenizer, folder)
            if not args.save_only_model:
                self._save_progress(folder)
            best = folder.with_name(f"checkpoint-{state.best_global_step}")
            if best.is_dir():
                state.best_model_checkpoint = str(best)
            if args.should_save:
                state.save_to_json(str(folder / STATE_FILE))
                torch.save(args, folder / "training_args.bin")

    def _check_weights(self, model: torch.nn.Module, step: int) -> None:
        check_weights(model, step, run_folder(self._args), fp16=self._fp16)

    def _save_progress(self, folder: Path) -> None:
        if self._fsdp:
            save_fsdp(self._accelerator, self._model, self._optimizer, folder)
        elif self._deepspeed:
            engine: Any = self._model
            engine.save_checkpoint(folder)
        for name, part in self._stateful.items():
            self._accelerator.save(part.state_dict(), folder / name)
        torch.save(_random_numbers(), folder / _random_file())

    def save_if_last(self, model: PreTrainedModel) -> None:
        """Save the weights of the last step, before they are evaluated; see `save_unmerged`."""
        step = self._state.global_step
        if step < self._state.max_steps:
            return
        folder = run_folder(self._args) if self._args.should_save else None
        save_unmerged(model, self._tokenizer, folder, lambda one: self._check_weights(one, step))
        self._saved_step = step

    def save_final(self, state: TrainerState) -> tuple[PreTrainedModel, int]:
        """Save the trained model into the run folder.

        Returns:
            The model, and the step of its weights: the last one, or the best one with
            `training.load_best_model_at_end`.
        """
        args, best = self._args, state.best_model_checkpoint
        model, step = (
            self._full_model.copy(self._model, self._accelerator.device),
            state.global_step,
        )
        if best is not None and args.load_best_model_at_end:
            load_weights(model, Path(best))
            step = step_of(Path(best))
        if args.should_save and best is not None and args.save_total_limit == 1:
            # During training, the last one was kept beside the best one.
            keep_only(run_folder(args), Path(best))
        folder = run_folder(args)
        written = folder if args.should_save else None
        save_trained(
            model,
            self._tokenizer,
            written,
            lambda one: self._check_weights(one, step),
            is_saved=step == self._saved_step,
        )
        if args.should_save:
            state.save_to_json(str(folder / STATE_FILE))
        barrier()
        return model, step


def _random_file() -> str:
    return f"rng_state_{this_world().rank}.pth" if _is_rank() else "rng_state.pth"


def _random_numbers() -> dict[str, Any]:
    numbers = {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "cpu": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        cuda = torch.cuda
        numbers["cuda"] = cuda.get_rng_state_all() if _is_rank() else cuda.get_rng_state()
    return numbers


def _restore_random_numbers(file: Path) -> None:
    with allow_random_state():
        numbers = torch.load(file, weights_only=True)
    random.setstate(numbers["python"])
    np.random.set_state(numbers["numpy"])
    torch.set_rng_state(numbers["cpu"])
    if torch.cuda.is_available() and "cuda" in numbers:
        restore = torch.cuda.set_rng_state_all if _is_rank() else torch.cuda.set_rng_state
        restore(numbers["cuda"])


def _is_rank() -> bool:
    return this_world().size > 1
