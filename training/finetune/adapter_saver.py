"""Saves the adapter of a run that trains: the weights as they are, or those of the best checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.profile import Profile
from training.finetune import adapter, checkpoints
from training.finetune.attempt import Attempt
from training.finetune.card import make_card

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

    from training.finetune.trainer import Trainer


class AdapterSaver:
    def __init__(
        self,
        attempt: Attempt,
        profile: Profile,
        trainer: Trainer,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        config: RunConfig,
        resolved: ev.Resolved,
    ) -> None:
        self._attempt, self._profile, self._trainer = attempt, profile, trainer
        self._model, self._tokenizer, self._config, self._resolved = model, tokenizer, config, resolved

    @property
    def is_stopped(self) -> bool:
        """Whether someone stopped the run before its last step."""
        return bool(self._attempt.stop.level) and self._attempt.step < self._trainer.state.max_steps

    def __call__(self) -> int | None:
        """Save the adapter with its card. Returns the step of its weights if that is not the last step, because an
        earlier evaluation was better."""
        self._attempt.events.emit(ev.Phase(name="saving", detail="adapter"))
        history, step = self._trainer.state.log_history, self._attempt.step
        best_step = checkpoints.find_best_step(history) if self._profile.evaluation.patience else None
        run = self._attempt.locate_run()
        best = run.checkpoints / f"{checkpoints.PREFIX}{best_step}"
        use_best = best_step and not self._attempt.stop.level and checkpoints.is_whole(best)
        adapter_step = best_step if use_best and best_step != step else None
        card = make_card(
            run.name,
            self._config,
            step,
            self._resolved.total_steps,
            history,
            stopped=self.is_stopped,
            adapter_step=adapter_step,
            device=self._resolved.device,
            trained_parameters=self._resolved.trainable_parameters,
        )
        adapter.save(self._model, self._tokenizer, run.adapter, card, best if use_best else None)
        return adapter_step
