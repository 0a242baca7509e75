"""TRL's trainer, whose checkpoints become whole in one step: written aside, flushed to the disk, renamed."""

from __future__ import annotations

# isort: off
import unsloth  # noqa: F401  first: it patches what follows

import torch
from trl import SFTTrainer
# isort: on

import errno
import shutil
from pathlib import Path
from typing import Any

from training.contract.failures import writing
from training.finetune import checkpoints


class Trainer(SFTTrainer):
    """`on_not_saved` is told why a checkpoint was left out. `keep_best`: the best one is never rotated away."""

    def __init__(self, *args: Any, on_not_saved: Any = None, keep_best: bool = False, **kwargs: Any) -> None:
        self._aside: Path | None = None
        self._on_not_saved = on_not_saved
        self._keep_best = keep_best
        super().__init__(*args, **kwargs)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not all(bool(torch.isfinite(p).all()) for p in self.model.parameters() if p.requires_grad):
            self._on_not_saved("The adapter has values that are no numbers: no checkpoint of it is written.")
            return
        home = Path(self.args.output_dir)
        limit = self.args.save_total_limit
        try:
            self._write(model, trial, home)
        except OSError as error:  # the oldest is the next to go anyway, and may have the room that the disk lacks
            if error.errno != errno.ENOSPC or not limit or not self._rotate(home, limit - 1):
                raise
            self._write(model, trial, home)
        self._rotate(home, limit)

    def _write(self, model: Any, trial: Any, home: Path) -> None:
        self._aside = home / checkpoints.UNFINISHED
        shutil.rmtree(self._aside, ignore_errors=True)  # of a save that was killed
        name = f"{checkpoints.PREFIX}{self.state.global_step}"
        try:
            with writing(home / name):
                self._aside.mkdir(parents=True)
                super()._save_checkpoint(model, trial)
                checkpoints.publish(self._aside / name, home)
        finally:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside = None

    def _rotate(self, home: Path, limit: int | None) -> bool:
        best = checkpoints.best_step(self.state.log_history) if self._keep_best else None
        return checkpoints.rotate(home, limit, f"{checkpoints.PREFIX}{best}" if best else "")
