"""`engine=accelerate`: a training loop on Accelerate, to read and to modify.

Batches, loss, optimizer and schedule are those of `engine=trainer`: with one seed, both log the
same losses. `docs/how-to/change-the-loop.md` has examples of modifications.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate.utils import DistributedType, send_to_device, set_seed
from transformers import get_scheduler

from summexp.distributed.ranks import this_world
from summexp.distributed.signals import StopRequest, stop_requests
from summexp.engines.accelerator import build_accelerator
from summexp.engines.batches import Batch, TrainingBatches
from summexp.engines.best import best_score, is_better, should_stop_early
from summexp.engines.callbacks import CallbackHandler
from summexp.engines.checkpoint import Checkpoints, load_weights
from summexp.engines.optimizers import build_optimizer
from summexp.engines.protocol import FitResult, TrainingJob
from summexp.engines.sharded import FullModel
from summexp.engines.trainer_arguments import job_arguments
from summexp.engines.training_guard import StoppedError, TrainingGuard
from summexp.evaluation.evaluate import EvaluationResult
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.upstream.transformers import decayed_weights, speed_metrics


class AccelerateEngine:
    """The training loop on Accelerate."""

    def fit(self, job: TrainingJob, resume_from: Path | None) -> FitResult:
        """Train `job.model` in place; see `Engine.fit`."""
        with stop_requests() as request:
            loop = TrainingLoop(job, request, resume_from)
            try:
                loop.train()
            except StoppedError:
                loop.save()
            loop.guard.exit(loop.state.global_step)
        return loop.finish()


class TrainingLoop:
    """One training, from its first step or a checkpoint to its last step."""

    def __init__(self, job: TrainingJob, request: StopRequest, resume_from: Path | None) -> None:
        """Build model, optimizer, batches and callbacks; `args` has every field of `training.*`."""
        self.job = job
        self.args = args = job_arguments(job)
        if resume_from is not None:
            load_weights(job.model, resume_from)
        self.flos_a_token = 6 * job.model.num_parameters(exclude_embeddings=True)
        self.full_model = FullModel(job.model, is_split=bool(args.fsdp or args.deepspeed))
        self.accelerator = build_accelerator(job.model, args)
        self.is_deepspeed = self.accelerator.distributed_type == DistributedType.DEEPSPEED
        self.batches = TrainingBatches(job, args, self.accelerator)
        self.model, self.optimizer = self.accelerator.prepare(job.model, self.new_optimizer())
        self.schedule = get_scheduler(
            args.lr_scheduler_type,
            optimizer=self.optimizer,
            num_warmup_steps=args.get_warmup_steps(self.batches.steps),
            num_training_steps=self.batches.steps,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,  # type: ignore[arg-type]  # no text now
        )
        self.schedule_needs_score = args.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy")
        # Earlier code must not change the random numbers; dropout differs on each rank.
        set_seed(job.seed + this_world().rank)
        objects = self.model, self.optimizer, self.schedule
        self.checkpoints = Checkpoints(job, args, self.accelerator, self.full_model, *objects)
        self.state = self.checkpoints.begin(self.batches, resume_from)
        self.guard = TrainingGuard(request, job.training, job.folder)
        self.callbacks = CallbackHandler(job, args, self.state, self.guard)
        self.evaluations: list[EvaluationResult] = []
        self.evaluated_step = -1
        self.first_step = self.logged_at = self.state.global_step
        self.loss_sum = torch.zeros((), device=self.accelerator.device)
        self.logged_loss = 0.0
        self.is_over, self.stopped_early = self.first_step >= self.batches.steps, False

    def new_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer; each parameter group may set its own `weight_decay` or `lr`."""
        decayed = decayed_weights(self.job.model)
        named = [pair for pair in self.job.model.named_parameters() if pair[1].requires_grad]
        groups = [
            {
                "params": [weight for name, weight in named if (name in decayed) is decays],
                "weight_decay": self.args.weight_decay if decays else 0.0,
            }
            for decays in (True, False)
        ]
        return build_optimizer(self.args, groups)

    def train(self) -> None:
        """Run the remaining steps."""
        self.started = time.time()
        self.model.train()
        self.callbacks.call_event("on_train_begin")
        if self.args.eval_on_start and not self.first_step:
            self.evaluate()
        for steps in self.batches.passes(self.state.global_step):
            if self.is_over:
                break
            for epoch, micro_batches in steps:
                self.step(micro_batches)
                self.state.epoch = epoch
                self.callbacks.call_event("on_step_end")
                self.log_evaluate_save("steps")
                if self.is_over:
                    break
            if not self.guard.stops:
                self.log_evaluate_save("epoch")

    def step(self, micro_batches: list[Batch]) -> None:
        """Update the weights with the gradient of one global batch."""
        self.callbacks.call_event("on_step_begin")
        mine = torch.stack([count_targets(batch["labels"]) for batch in micro_batches]).sum()
        targets = self.accelerator.gather(mine.to(self.accelerator.device)).sum()
        for number, batch in enumerate(micro_batches, start=1):
            is_last = number == len(micro_batches)
            # Gradients are synchronized in the last micro-batch only.
            self.accelerator.sync_gradients = is_last
            waits = not is_last and not self.is_deepspeed
            with self.accelerator.no_sync(self.model) if waits else nullcontext():
                loss = self.loss(send_to_device(batch, self.accelerator.device), targets)
                # The loss is already scaled, so DeepSpeed must not divide it again.
                options = {"scale_wrt_gas": False} if self.is_deepspeed else {}
                self.accelerator.backward(loss, **options)
            self.add_loss(loss.detach())
            if not is_last:
                self.callbacks.call_event("on_substep_end")
        most = self.args.max_grad_norm or math.inf
        self.guard.grad_norm = self.accelerator.clip_grad_norm_(self.model.parameters(), most)
        self.optimizer.step()
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        # In fp16 a step is skipped if its gradients overflow.
        if not self.accelerator.optimizer_step_was_skipped and not self.schedule_needs_score:
            self.schedule.step()
        self.optimizer.zero_grad()
        self.state.global_step += 1

    def loss(self, batch: Batch, targets: torch.Tensor) -> torch.Tensor:
        """Return a micro-batch's share of the mean loss over the global batch's target tokens.

        Args:
            batch: this rank's micro-batch.
            targets: target tokens of the global batch: of all its micro-batches, on all ranks.
        """
        inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
        with self.accelerator.autocast():
            logits = self.model(**inputs).logits
        total = token_loss_sum(logits, batch["labels"], self.args.label_smoothing_factor)
        # DDP averages the gradients of the ranks, and their sum is needed.
        return total / targets * int(self.accelerator.num_processes)

    def add_loss(self, loss: torch.Tensor) -> None:
        """Add a micro-batch's loss to the running sum, without synchronizing with the device."""
        self.guard.losses.update(loss)
        # XLA would compile a program for each number of steps since.
        if self.args.logging_nan_inf_filter and loss.device.type != "xla":
            mean = self.loss_sum / (1 + self.state.global_step - self.logged_at)
            loss = torch.where(loss.isfinite(), loss, mean)
        self.loss_sum += loss

    def log_evaluate_save(self, unit: str) -> None:
        """Log, evaluate and save as due at the end of a step (`unit="steps"`) or an epoch."""
        step = self.state.global_step
        if self.is_due("logging", unit) or (step == 1 and self.args.logging_first_step):
            self.log_losses()
        is_best = not self.guard.stops and self.is_due("eval", unit) and self.evaluate()
        saves = is_best if self.args.save_strategy == "best" else self.is_due("save", unit)
        if saves or self.guard.stops:
            self.save()
        self.is_over = self.is_over or self.guard.stops or step >= self.state.max_steps

    def is_due(self, kind: str, unit: str) -> bool:
        """Return whether `logging`, `eval` or `save` is due."""
        if getattr(self.args, f"{kind}_strategy") != unit:
            return False
        step, every = self.state.global_step, getattr(self.state, f"{kind}_steps")
        now = step if unit == "steps" else self.state.epoch
        if kind == "eval" and now < self.args.eval_delay:
            return False
        is_last = kind != "logging" and step >= self.state.max_steps
        return unit == "epoch" or is_last or (every > 0 and step % every == 0)

    def log_losses(self) -> None:
        """Log the mean loss over the steps since the last log and over the ranks."""
        steps = self.state.global_step - self.logged_at
        if not steps:
            return
        loss = self.accelerator.gather(self.loss_sum).mean().item()
        self.loss_sum.zero_()
        self.logged_loss += loss
        self.logged_at += steps
        norm, rate = float(self.guard.grad_norm), self.learning_rate
        self.callbacks.log({"loss": loss / steps, "grad_norm": norm, "learning_rate": rate})

    def evaluate(self) -> bool:
        """Evaluate every validation set; return whether the model is the best so far."""
        model = self.full_model.copy(self.model, self.accelerator.device)
        self.evaluations = self.guard.evaluate(self.job, model, self.checkpoints.save_if_last)
        self.evaluated_step = self.state.global_step
        metrics = {name: value for one in self.evaluations for name, value in one.metrics.items()}
        self.callbacks.log(metrics)
        self.callbacks.call_event("on_evaluate", metrics=metrics)
        score = best_score(self.args, metrics)
        # An evaluation before the first step does not count.
        if score is None or not self.evaluated_step:
            return False
        if self.schedule_needs_score:
            self.schedule.step(score)
        if should_stop_early(self.args, self.job.engine, self.state.log_history):
            self.stopped_early = self.is_over = True
        if not is_better(self.args, score, self.state.best_metric):
            return False
        self.state.best_metric, self.state.best_global_step = score, self.evaluated_step
        return True

    def save(self) -> None:
        """Save a checkpoint of this step, unless it exists."""
        self.count_flos()
        self.guard.save(lambda: self.checkpoints.save(self.state))

    def count_flos(self) -> None:
        """Add the operations of all ranks since the last call to `total_flos`."""
        tokens = torch.tensor(self.batches.tokens, device=self.accelerator.device)
        self.state.total_flos += self.flos_a_token * self.accelerator.gather(tokens).sum().item()
        self.batches.tokens = 0

    def finish(self) -> FitResult:
        """Save the last or the best weights, and return the result of the training."""
        self.count_flos()
        state, steps = self.state, self.state.global_step - self.first_step
        loss = self.logged_loss + self.accelerator.gather(self.loss_sum).mean().item()
        metrics = speed_metrics(self.started, steps * self.batches.rows_a_step, steps)
        metrics |= {"total_flos": float(state.total_flos), "train_loss": loss / max(steps, 1)}
        self.callbacks.log(metrics)
        self.callbacks.call_event("on_train_end")
        model, of_step = self.checkpoints.save_final(state)
        evaluations = self.evaluations if self.evaluated_step == of_step else None
        metrics["epoch"] = epochs = state.epoch or 0.0
        return FitResult(metrics, state.global_step, epochs, evaluations, model, self.stopped_early)
