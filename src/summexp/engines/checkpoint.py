"""What a checkpoint holds: a whole model folder, and the state to go on from.

The files are the Trainer's, so that a run may go on with another engine.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedType,
    load_fsdp_optimizer,
    save_fsdp_model,
    save_fsdp_optimizer,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Seq2SeqTrainingArguments,
    TrainerControl,
    TrainerState,
)
from transformers.trainer_pt_utils import safe_globals

from summexp.distributed.ranks import any_reduce, barrier, is_main, this_world
from summexp.engines.batches import TrainingBatches
from summexp.engines.divergence import check_weights
from summexp.engines.protocol import TrainingJob
from summexp.engines.sharded import WholeModel
from summexp.errors import ConfigError, Problem
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

log = logging.getLogger(__name__)

_RESUME = "training.resume_from_checkpoint"
STATE_FILE = "trainer_state.json"
"""The training's progress and what was logged of it, in a checkpoint and in the run folder."""


@contextmanager
def new_checkpoint(args: Seq2SeqTrainingArguments, state: TrainerState) -> Iterator[Path]:
    """Let every rank write its part of a checkpoint, then write_manifest it and delete older ones.

    Args:
        args: the run folder, and how many checkpoints are kept.
        state: names the step and, when all is written, the best checkpoint, which stays.

    Raises:
        StorageError: it could not be written; nothing is left of it.
    """
    folder = Path(args.output_dir, f"checkpoint-{state.global_step}")
    try:
        with storage_errors(folder.parent, folder.name):
            if args.should_save:
                make_checkpoint(folder)
            barrier()
            yield folder
            # It is whole when every rank has written its part.
            barrier()
            if args.should_save:
                write_manifest(folder)
    except BaseException:
        if args.should_save:
            # On a full disk, the record of the failure needs its room.
            discard_incomplete_checkpoints(folder.parent)
        raise
    if args.should_save:
        # Older ones go only now, so that there is a whole one at every moment.
        best = state.best_model_checkpoint
        rotate(folder, args.save_total_limit, None if best is None else Path(best))


def drop_foreign_best(job: TrainingJob, state: TrainerState, resumed_from: Path) -> None:
    """Forget the best checkpoint of a state that was read, unless this training may take it.

    It is a path in a file that may come from somebody else: only a checkpoint beside the one that
    is resumed from, in the run folder, or where the user pointed to is taken.
    """
    if state.best_model_checkpoint is None:
        return
    best, given = Path(state.best_model_checkpoint), job.training.resume_from_checkpoint
    places = [job.folder, resumed_from.parent, *([Path(given).parent] if given else [])]
    if is_checkpoint(best) and best.parent.resolve() in [place.resolve() for place in places]:
        return
    log.warning("the best checkpoint is not used: there is no %s beside this one", best)
    state.best_model_checkpoint = None


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a standard model folder; `model` is whole."""
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
) -> None:
    """Merge an adapter into `model`, and write what training ends with.

    Args:
        model: whole; changed in place, on every rank alike.
        tokenizer: saved beside it.
        folder: the run folder, on the rank that writes; None on the others.
        check: raises on every rank where the weights are not finite.

    Raises:
        StorageError: the weights could not be written; no part of them is left.
    """
    check(model)
    if has_adapter(model):
        if folder is not None:
            save_adapter(model, folder / ADAPTER_FOLDER)
        merge_adapter(model)
        # The product of two finite matrices may be none.
        check(model)
    if folder is None:
        return
    try:
        with storage_errors(folder, "the model"):
            save_model(model, tokenizer, folder)
    except StorageError:
        # Half a file of weights would be loaded by nobody, and takes room.
        for file in folder.glob("model*.safetensors"):
            file.unlink()
        raise


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Read the weights of a checkpoint; `model` is whole.

    Raises:
        ConfigError: they are not all of this model's weights, and no others; or not finite.
    """
    check_same_model(model, folder)
    for path in weight_files(folder):
        # Weights that are another's are not in the file.
        model.load_state_dict(load_file(path), strict=False)
    check_loaded(model, folder)


def check_same_model(model: PreTrainedModel, checkpoint: Path) -> None:
    """Check that a checkpoint holds the weights of `model`, which is whole, before they are read.

    Raises:
        ConfigError: some are missing, or others, or of another shape.
    """
    with readable(checkpoint):
        different = mismatch(model, checkpoint)
    if different:
        raise ConfigError(
            Problem(
                key=_RESUME,
                what=f"{checkpoint} does not hold the weights of this model; {different}",
                hint="Name a checkpoint of the same model, or choose model and peft as in its run.",
            )
        )


def read_state(checkpoint: Path) -> TrainerState:
    """Return how far a training had come.

    Raises:
        ConfigError: the file is not there, or not what this version of transformers writes.
    """
    with readable(checkpoint):
        return TrainerState.load_from_json(str(checkpoint / STATE_FILE))


def check_loaded(model: torch.nn.Module, checkpoint: Path) -> None:
    """Check that the weights that were read are finite; every rank has to call this.

    Raises:
        ConfigError: they are not, on every rank if on one.
    """
    names = non_finite_weights(model)
    if any_reduce(bool(names))[0]:
        raise ConfigError(
            Problem(
                key=_RESUME,
                what=f"{checkpoint} has weights that are not numbers (NaN or infinite)"
                + (f": {listed(names)}" if names else ""),
                hint="Name an earlier checkpoint, from before the training diverged.",
            )
        )


@contextmanager
def readable(checkpoint: Path) -> Iterator[None]:
    """Turn what is raised while a checkpoint is read into a sentence about it.

    Raises:
        ConfigError: a file is damaged, or not what this training writes.
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
        raise ConfigError(
            Problem(
                key=_RESUME,
                what=f"training cannot resume from {checkpoint}: {reason}",
                hint="Name a checkpoint of the same model and the same training.*; to begin with "
                f"its weights alone, set model.name_or_path={checkpoint} in its place.",
            )
        ) from error


class Checkpoints:
    """The model of a training beside all that it takes to go on: optimizer, schedule and so on."""

    def __init__(
        self,
        job: TrainingJob,
        args: Seq2SeqTrainingArguments,
        accelerator: Accelerator,
        whole: WholeModel,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Any,
    ) -> None:
        """Save and load these, as `accelerator` prepared them."""
        self._job = job
        self._args = args
        self._accelerator = accelerator
        self._whole = whole
        self._tokenizer = job.tokenizer
        self._fp16 = job.training.fp16
        self._model = model
        self._optimizer = optimizer
        self._fsdp = accelerator.distributed_type == DistributedType.FSDP
        self._deepspeed = accelerator.distributed_type == DistributedType.DEEPSPEED
        self._parts = {"scheduler.pt": schedule}
        if accelerator.scaler is not None:
            self._parts["scaler.pt"] = accelerator.scaler
        if not (self._fsdp or self._deepspeed):
            self._parts["optimizer.pt"] = optimizer

    def begin(self, batches: TrainingBatches, resume_from: Path | None) -> TrainerState:
        """Return the state of a training that begins, or resumes from a checkpoint.

        Args:
            batches: of the whole training.
            resume_from: the checkpoint, whose weights the model has already (see `load_weights`).
        """
        # Without a control in the state, the Trainer (5.23) could go on from here, but not save.
        state = TrainerState(stateful_callbacks=[TrainerControl()])
        if resume_from is not None:
            state = read_state(resume_from)
            self._load_progress(resume_from)
            drop_foreign_best(self._job, state, resume_from)
        state.max_steps = batches.steps
        state.num_train_epochs = math.ceil(batches.steps / batches.steps_a_pass)
        state.train_batch_size = self._args.train_batch_size
        state.is_world_process_zero = is_main()
        state.is_local_process_zero = this_world().local_rank == 0
        # What was given as a share of all steps becomes a number of steps.
        state.compute_steps(self._args, batches.steps)
        return state

    def _load_progress(self, folder: Path) -> None:
        with readable(folder):
            self._read_progress(folder)

    def _read_progress(self, folder: Path) -> None:
        if self._fsdp:
            plugin = self._accelerator.state.fsdp_plugin
            load_fsdp_optimizer(plugin, self._accelerator, self._optimizer, self._model, folder)
        elif self._deepspeed:
            self._model.load_checkpoint(folder)  # type: ignore[operator]
        for name, part in self._parts.items():
            part.load_state_dict(torch.load(folder / name, map_location="cpu", weights_only=True))
        if (folder / _random_file()).is_file():
            _restore_random_numbers(folder / _random_file())

    def save(self, state: TrainerState) -> None:
        """Write a checkpoint of this moment, with `state`."""
        args = self._args
        self._check_weights(self._model, state.global_step)
        with new_checkpoint(args, state) as folder:
            # One rank keeps what all of them gather.
            place = torch.device("cpu" if args.should_save else "meta")
            model = self._whole.copy(self._model, place)
            if args.should_save:
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
        check_weights(model, step, Path(self._args.output_dir), fp16=self._fp16)

    def _save_progress(self, folder: Path) -> None:
        if self._fsdp:
            plugin = self._accelerator.state.fsdp_plugin
            save_fsdp_model(plugin, self._accelerator, self._model, folder)
            save_fsdp_optimizer(plugin, self._accelerator, self._optimizer, self._model, folder)
        elif self._deepspeed:
            self._model.save_checkpoint(folder)  # type: ignore[operator]
        for name, part in self._parts.items():
            self._accelerator.save(part.state_dict(), folder / name)
        torch.save(_random_numbers(), folder / _random_file())

    def save_final(self, state: TrainerState) -> tuple[PreTrainedModel, int]:
        """Write the model that training ends with into the run folder.

        Returns:
            The model, and the step of its weights: the last one, or the best one with
            `training.load_best_model_at_end`.
        """
        args, best = self._args, state.best_model_checkpoint
        model, step = self._whole.copy(self._model, self._accelerator.device), state.global_step
        if best is not None and args.load_best_model_at_end:
            load_weights(model, Path(best))
            step = step_of(Path(best))
        if args.should_save and best is not None and args.save_total_limit == 1:
            # While training went on, the last one was kept beside the best one.
            keep_only(Path(args.output_dir), Path(best))
        folder = Path(args.output_dir)
        written = folder if args.should_save else None
        save_trained(model, self._tokenizer, written, lambda one: self._check_weights(one, step))
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
    with safe_globals():
        numbers = torch.load(file, weights_only=True)
    random.setstate(numbers["python"])
    np.random.set_state(numbers["numpy"])
    torch.set_rng_state(numbers["cpu"])
    if torch.cuda.is_available() and "cuda" in numbers:
        restore = torch.cuda.set_rng_state_all if _is_rank() else torch.cuda.set_rng_state
        restore(numbers["cuda"])


def _is_rank() -> bool:
    return this_world().size > 1
