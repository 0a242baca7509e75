"""TRL's trainer, with an evaluation loss that does not depend on the batch size, and with checkpoints that become whole
in one step: written aside, flushed to the disk, then renamed."""

from __future__ import annotations

# isort: off
import unsloth  # noqa: F401  first: it patches the libraries below

import torch
from trl import SFTTrainer
# isort: on

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.contract.card_text import CARD
from training.contract.checkpoints import ADAPTER
from training.contract.failures import name_full_disk, name_large_file
from training.finetune import checkpoints, clock
from training.finetune.fit import Fit
from training.finetune.packing import Batch, split_into_passes
from training.job.tokens import IGNORED

if TYPE_CHECKING:
    from transformers.trainer_utils import EvalLoopOutput


class Trainer(SFTTrainer):
    """Calls `warn` with a sentence when it leaves out a checkpoint. `keep_best`: never delete the checkpoint with the
    lowest evaluation loss. `pass_tokens` and `eval_pass_tokens`: the tokens of packed rows in one full pass of
    training and of an evaluation; None if rows are not packed. `running_pass` is the batch that goes through the model
    now, or that failed there; None between passes. `is_evaluating` says whether it belongs to an evaluation. `fit` fits
    the learning rate to the run's time. `save_seconds` is how long the last checkpoint took."""

    pass_tokens: int | None = None
    eval_pass_tokens: int | None = None
    running_pass: Batch | None = None
    is_evaluating = False
    fit: Fit | None = None
    save_seconds: float | None = None

    def __init__(self, *args: Any, warn: Callable[[str], None], keep_best: bool, **kwargs: Any) -> None:
        self._unfinished: Path | None = None  # the folder that a checkpoint is being written to
        self._warn = warn
        self._keep_best = keep_best
        self.find_home: Callable[[], Path] = lambda: Path(self.args.output_dir)  # asked before each save
        self._eval_loss_sum, self._eval_tokens = 0.0, 0  # of the current evaluation
        super().__init__(*args, **kwargs)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Create the scheduler with the curve that the profile names, passed as fast as `fit` says."""
        scheduler = super().create_scheduler(*args, **kwargs)
        if fit := self.fit:
            # Functions, whose state torch does not save in scheduler.pt: the Deadline keeps it in trainer_state.json.
            scheduler.lr_lambdas = [_fit_curve(fit, curve) for curve in scheduler.lr_lambdas]
        return scheduler

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Run the batch in passes of about `pass_tokens` tokens, each of whole rows, and add up their gradients."""
        if self.pass_tokens is None:
            return self._train_pass(model, inputs, num_items_in_batch)
        passes = split_into_passes(inputs, self.pass_tokens)
        return torch.stack([self._train_pass(model, part, num_items_in_batch) for part in passes]).sum()

    def _train_pass(self, model: Any, inputs: Batch, num_items_in_batch: Any) -> torch.Tensor:
        self.running_pass, self.is_evaluating = dict(inputs), False
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.running_pass = None
        return loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate, with the mean loss of all learned tokens, as in training. transformers takes the mean of the
        batches, which depends on which rows are in a batch."""
        self._eval_loss_sum, self._eval_tokens = 0.0, 0
        output = super().evaluation_loop(*args, **kwargs)
        if self._eval_tokens:
            output.metrics["eval_loss"] = self._eval_loss_sum / self._eval_tokens
        return output

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Evaluate the batch, in passes of about `eval_pass_tokens` tokens. Returns the outcome of the last pass: the
        loss of the evaluation comes from the sums."""
        if self.eval_pass_tokens is None:
            return self._evaluate_pass(model, inputs, *args, **kwargs)
        passes = split_into_passes(inputs, self.eval_pass_tokens)
        return [self._evaluate_pass(model, part, *args, **kwargs) for part in passes][-1]

    def _evaluate_pass(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.running_pass, self.is_evaluating = dict(inputs), True
        tokens = int((inputs["labels"][..., 1:] != IGNORED).sum())  # no token predicts the first one
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        if tokens:  # the mean of no tokens may be NaN
            self._eval_loss_sum += tokens * loss.item()
            self._eval_tokens += tokens
        self.running_pass = None
        return loss, *rest

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._unfinished or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started = clock.read_awake()
        self._save_whole_checkpoint(model, trial)
        self.save_seconds = clock.read_awake() - started

    def _save_whole_checkpoint(self, model: Any, trial: Any) -> None:
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters() if p.requires_grad):
            self._warn("The adapter has NaN or infinite values. This checkpoint is not saved.")
            return
        home = self.find_home()
        limit = self.args.save_total_limit
        try:
            self._write(model, trial, home)
        except OSError as error:
            # If the disk is full, delete the oldest checkpoint now: it would be deleted after this save anyway.
            if error.errno != errno.ENOSPC or not limit or not self._rotate(home, limit - 1):
                raise
            self._write(model, trial, home)
        self._rotate(home, limit)

    def _write(self, model: Any, trial: Any, home: Path) -> None:
        self._unfinished = home / checkpoints.UNFINISHED
        shutil.rmtree(self._unfinished, ignore_errors=True)  # it may be left from a save that was killed
        name = f"{checkpoints.PREFIX}{self.state.global_step}"
        try:
            with name_full_disk(home / name):
                home.mkdir(exist_ok=True)  # but not the run's folder, which someone may be renaming now
                self._unfinished.mkdir()
                with name_large_file(self._unfinished / name, home / name, ADAPTER):
                    super()._save_checkpoint(model, trial)
                (self._unfinished / name / CARD).unlink(missing_ok=True)  # PEFT's template without facts
                checkpoints.publish(self._unfinished / name, home)
        finally:
            shutil.rmtree(self._unfinished, ignore_errors=True)
            self._unfinished = None

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no card of TRL's: `adapter.save` writes ours."""

    def _rotate(self, home: Path, limit: int | None) -> bool:
        best = checkpoints.find_best_step(self.state.log_history) if self._keep_best else None
        return checkpoints.rotate(home, limit, f"{checkpoints.PREFIX}{best}" if best else "")


def _fit_curve(fit: Fit, curve: Callable[[float], float]) -> Callable[[int], float]:
    return lambda step: fit.schedule.scale(step, curve)
