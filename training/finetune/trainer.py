"""TRL's trainer, with an evaluation loss that does not depend on the batch size, with checkpoints that become whole in
one step (written aside, flushed to the disk, then renamed), and with several ranks that learn what one would."""

from __future__ import annotations

# isort: off
import unsloth  # noqa: F401  first: it patches the libraries below

import torch
from trl import SFTTrainer
# isort: on

import errno
import math
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
from training.finetune.random_states import keep_random_states
from training.finetune.ranks import Ranks
from training.finetune.sharding import find_local
from training.finetune.shares import BLANK, deal_out, is_blank
from training.job.tokens import IGNORED

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from transformers.trainer_utils import EvalLoopOutput


class Trainer(SFTTrainer):
    """Calls `warn` with a sentence when it leaves out a checkpoint. `keep_best`: never delete the checkpoint with the
    lowest evaluation loss. `pass_tokens` and `eval_pass_tokens`: the tokens of packed rows in one full pass of
    training and of an evaluation; None if rows are not packed. `running_pass` is the batch that goes through the model
    now, or that failed there; None between passes. `is_evaluating` says whether it belongs to an evaluation. `fit` fits
    the learning rate to the run's time. `is_sharded` says whether each rank has only a share of the model.
    `save_seconds` is how long the last checkpoint took."""

    pass_tokens: int | None = None
    eval_pass_tokens: int | None = None
    running_pass: Batch | None = None
    is_evaluating = False
    is_sharded = False
    fit: Fit | None = None
    save_seconds: float | None = None

    def __init__(self, *args: Any, warn: Callable[[str], None], keep_best: bool, ranks: Ranks, **kwargs: Any) -> None:
        self.ranks = ranks
        self._unfinished: Path | None = None  # the folder that a checkpoint is being written to
        self._warn = warn
        self._keep_best = keep_best
        self.find_home: Callable[[], Path] = lambda: Path(self.args.output_dir)  # asked before each save
        self._eval_losses: list[tuple[float, int]] = []  # loss and tokens of each pass of the current evaluation
        super().__init__(*args, **kwargs)
        if ranks.count > 1:
            # TRL gathers figures in each pass that nobody reads here, and ranks may have different numbers of passes.
            self.accelerator.gather_for_metrics = self.gather_function = lambda values, *_, **__: values

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> DataLoader[Any]:
        loader: DataLoader[Any] = super()._get_dataloader(*args, **kwargs)
        if self.ranks.count > 1:
            deal_out(loader, self.ranks.count)
        return loader

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        self.ranks.barrier()  # a rank may come from an evaluation
        return super().get_batch_samples(*args, **kwargs)

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        if self.ranks.count > 1 and is_blank(inputs):
            inputs = {name: values[..., :0] for name, values in inputs.items() if isinstance(values, torch.Tensor)}
        super()._track_num_input_tokens(inputs)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Create the scheduler with the curve that the profile names, passed as fast as `fit` says."""
        scheduler = super().create_scheduler(*args, **kwargs)
        if fit := self.fit:
            # Functions, whose state torch does not save in scheduler.pt: the Deadline keeps it in trainer_state.json.
            scheduler.lr_lambdas = [_fit_curve(fit, curve) for curve in scheduler.lr_lambdas]
        return scheduler

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run one epoch, unless a resumed run has all its steps: transformers would take one more."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """Run the batch in passes of about `pass_tokens` tokens, each of whole rows, and add up their gradients. Of
        several ranks, each adds up its own; they share them in the last pass."""
        if self.pass_tokens is None:
            return self._train_pass(model, inputs, num_items_in_batch)
        *passes, last = self._split(inputs, self.pass_tokens)
        losses = []
        for part in passes:
            with self.accelerator.no_sync(model):
                losses.append(self._train_pass(model, part, num_items_in_batch))
        return torch.stack([*losses, self._train_pass(model, last, num_items_in_batch)]).sum()

    def _train_pass(self, model: Any, inputs: Batch, num_items_in_batch: Any) -> torch.Tensor:
        self.running_pass, self.is_evaluating = dict(inputs), False
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.running_pass = None
        return loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> EvalLoopOutput:
        """Evaluate, with the mean loss of all learned tokens, as in training. transformers takes the mean of the
        batches, which depends on which rows are in a batch. An evaluation uses no random number of the training, so a
        run that makes it later learns the same."""
        self._eval_losses = []
        with keep_random_states(of_gpus=False):
            output = super().evaluation_loop(*args, **kwargs)
        losses = [loss for share in self.ranks.gather(self._eval_losses) for loss in share]
        if losses:
            total = math.fsum(loss * tokens for loss, tokens in losses)  # exact, so their order does not count
            output.metrics["eval_loss"] = total / sum(tokens for _, tokens in losses)
        return output

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Evaluate the batch, in passes of about `eval_pass_tokens` tokens. Returns the outcome of the last pass: the
        loss of the evaluation comes from the sums."""
        if self.eval_pass_tokens is None:
            return self._evaluate_pass(model, inputs, *args, **kwargs)
        passes = self._split(inputs, self.eval_pass_tokens)
        return [self._evaluate_pass(model, part, *args, **kwargs) for part in passes][-1]

    def _split(self, inputs: Batch, pass_tokens: int) -> list[Batch]:
        """Split a batch of packed rows into passes. Where the ranks share the model, each has as many as the others:
        the passes that it lacks learn nothing."""
        passes = list(split_into_passes(inputs, pass_tokens))
        if self.is_sharded:
            missing = max(self.ranks.gather(len(passes))) - len(passes)
            passes += [dict(self.data_collator([BLANK])) for _ in range(missing)]
        return passes

    def _evaluate_pass(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self.running_pass, self.is_evaluating = dict(inputs), True
        tokens = int((inputs["labels"][..., 1:] != IGNORED).sum())  # no token predicts the first one
        loss, *rest = super().prediction_step(model, inputs, *args, **kwargs)
        if tokens:  # the mean of no tokens may be NaN
            self._eval_losses.append((loss.item(), tokens))
        self.running_pass = None
        return loss, *rest

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._unfinished or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        started = clock.read_awake()
        self._save_whole_checkpoint(model, trial)
        self.save_seconds = clock.read_awake() - started

    def _save_whole_checkpoint(self, model: Any, trial: Any) -> None:
        trained = (find_local(each) for each in self.model.parameters() if each.requires_grad)
        is_finite = all(bool(torch.isfinite(part).all()) for part in trained)
        if any(self.ranks.agree(not is_finite)):
            self._warn("The adapter has NaN or infinite values. This checkpoint is not saved.")
            return
        home = self.ranks.share(self.find_home())
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
        """Write a checkpoint. Rank 0 makes the folder and publishes it; the others add their random states."""
        unfinished = self._unfinished = home / checkpoints.UNFINISHED
        name = f"{checkpoints.PREFIX}{self.state.global_step}"

        def prepare() -> None:
            shutil.rmtree(unfinished, ignore_errors=True)  # it may be left from a save that was killed
            home.mkdir(exist_ok=True)  # but not the run's folder, which someone may be renaming now
            unfinished.mkdir()

        def save() -> None:
            with name_large_file(unfinished / name, home / name, ADAPTER):
                super(Trainer, self)._save_checkpoint(model, trial)

        def publish() -> None:
            (unfinished / name / CARD).unlink(missing_ok=True)  # PEFT's template without facts
            checkpoints.publish(unfinished / name, home)

        try:
            with name_full_disk(home / name):
                self.ranks.main(prepare)
                self.ranks.each(save)
                self.ranks.main(publish)
        finally:
            if self.ranks.is_main:
                shutil.rmtree(unfinished, ignore_errors=True)
            self._unfinished = None

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no card of TRL's: `adapter.save` writes ours."""

    def _rotate(self, home: Path, limit: int | None) -> bool:
        if not self.ranks.is_main:
            return self.ranks.share(False)
        best = checkpoints.find_best_step(self.state.log_history) if self._keep_best else None
        return self.ranks.share(checkpoints.rotate(home, limit, f"{checkpoints.PREFIX}{best}" if best else ""))


def _fit_curve(fit: Fit, curve: Callable[[float], float]) -> Callable[[int], float]:
    return lambda step: fit.schedule.scale(step, curve)
