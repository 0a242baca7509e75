"""One loaded base model with the adapters that are compared, and the proof that the right weights answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from training.contract import checkpoints
from training.contract.config import RowForm
from training.contract.failures import TrainingFailure, name_full_disk
from training.contract.judge_messages import Side
from training.contract.judgement import Proof
from training.contract.run_directory import RunDirectory
from training.job import model as models
from training.job.job import Job, read_job
from training.job.prompt import find_row_form
from training.workers.adapter import name_damaged_file

MIN_CONTRAST = 20.0
"""How much nearer the switched-off model must be to the base model than the adapter is."""
ADAPTER, OTHER = "default", "other"  # peft's names
STEPS = 3


class Computes(Protocol):
    """Something with models, which compute inside the context that `autocast` returns."""

    def autocast(self) -> Any: ...


@dataclass
class Speaker:
    """What belongs to one side besides its weights: the tokenizer, and the form in which questions are asked."""

    job: Job
    tokenizer: Any
    form: RowForm


@dataclass
class JudgeModels:
    """The base model with the adapter of `run`, and that of the run `other` if there is one."""

    device: str
    dtype: Any
    context: int | None
    speakers: dict[Side, Speaker]
    _model: Any
    _has_other: bool
    _probe: Any
    _before: Any  # the base model's logits after the probe, before an adapter was attached
    _on: float  # how much the adapter changes them
    _off: float | None = None  # how much they differ with the adapter switched off, at most

    @classmethod
    def load(
        cls, run: RunDirectory, job: Job, other: Path | None, probe: str, report: Callable[[str, int], None]
    ) -> JudgeModels:
        """Load everything. `probe` is a question. Raises TrainingFailure."""
        report("starting PyTorch", 0)
        import torch
        from peft import PeftModel
        from transformers import AutoTokenizer

        runs = [run] if other is None else [run, RunDirectory(other)]
        folders = [find_adapter(one) for one in runs]
        report(f"loading {job.profile.model.name}", 1)
        with name_full_disk(models.hub_cache()):
            base = models.load_base(
                models.resolve_source(job.model_name, job.cache),
                revision=job.profile.model.revision,
                load_in_4bit=job.load_in_4bit,
                dtype=job.dtype,
            )
        jobs = [job, *(read_job(one.path) for one in runs[1:])]
        dtype = getattr(torch, job.dtype)
        speakers = []
        for one, folder, its_job in zip(runs, folders, jobs, strict=True):
            with name_damaged_file(folder, one):
                tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            speakers.append(Speaker(its_job, tokenizer, find_row_form(its_job)))
        ids = speakers[0].tokenizer(probe, return_tensors="pt")["input_ids"][:, :64].to(base.device)
        before = _read_logits(base, ids, dtype)
        report("loading the adapter" if other is None else "loading the adapters", 2)
        with name_damaged_file(folders[0], runs[0]):
            model = PeftModel.from_pretrained(base, folders[0], adapter_name=ADAPTER)
        if other is not None:
            with name_damaged_file(folders[1], runs[1]):
                model.load_adapter(folders[1], adapter_name=OTHER)
        model.eval()
        return cls(
            device=torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
            dtype=dtype,
            context=getattr(base.config.get_text_config(), "max_position_embeddings", None),
            speakers={"adapter": speakers[0], "other": speakers[-1]},
            _model=model,
            _has_other=other is not None,
            _probe=ids,
            _before=before,
            _on=_find_difference(_read_logits(model, ids, dtype), before),
        )

    @contextmanager
    def switch_to(self, side: Side) -> Iterator[Any]:
        """Yield the model with the weights of `side`. Checks each time that a base model has no adapter."""
        if side == "other" and not self._has_other:
            with self._model.disable_adapter():
                self._check_off()
                yield self._model
            return
        self._model.set_adapter(OTHER if side == "other" else ADAPTER)
        self._model.eval()
        yield self._model

    def autocast(self) -> Any:
        """Return the context in which the model computes with the precision of the run."""
        return models.autocast(self._model, self.dtype)

    def prove(self) -> Proof:
        """Compare the two sides once more. Raises TrainingFailure if the base model answers with an adapter."""
        with self.switch_to("other") as model:
            other = _read_logits(model, self._probe, self.dtype)
        with self.switch_to("adapter") as model:
            adapter = _read_logits(model, self._probe, self.dtype)
        return Proof(off=self._off, on=_find_difference(adapter, other))

    def _check_off(self) -> None:
        """Compare the model, whose adapter should be off, with the base model before an adapter was attached."""
        off = _find_difference(_read_logits(self._model, self._probe, self.dtype), self._before)
        self._off = max(off, self._off or 0.0)
        # Some kernels round differently each time. That is far less than what an adapter does. NaN is no proof.
        if not off * MIN_CONTRAST <= self._on:
            raise TrainingFailure(
                "unknown",
                "The base model's answers can't be trusted: with the adapter switched off, its logits differ by "
                f"{off:.3g} from those before the adapter was loaded (with the adapter on, by {self._on:.3g}).",
                "No result was written. Report this with the versions that codex-tui doctor prints.",
            )


def find_adapter(run: RunDirectory) -> Path:
    """Return the folder of the adapter that is judged: the one that a chat would load. Raises TrainingFailure."""
    folder = checkpoints.find_chat_adapter(run)
    if not run.path.is_dir():
        raise TrainingFailure("model_not_found", f"The folder {run.path} is gone.", "List the runs: codex-tui runs")
    if folder is None:
        raise TrainingFailure("model_not_found", f"{run.name} has no adapter.", "Wait for its first checkpoint.")
    models.require_safetensors(folder)
    return folder


def _read_logits(model: Any, ids: Any, dtype: Any) -> Any:
    """Return the logits after the last token of `ids`, in full precision on the CPU."""
    import torch

    with torch.inference_mode(), models.autocast(model, dtype):
        return model(input_ids=ids).logits[0, -1].float().cpu()


def _find_difference(one: Any, other: Any) -> float:
    return float((one - other).abs().max())
