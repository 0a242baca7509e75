"""The judge's proof that a base model answered, with a peft that does not switch its adapter off."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from peft import PeftModel

from training.contract.failures import TrainingFailure
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.job import read_job
from training.judge.models import JudgeModels


def sabotage(path: str) -> list[Any]:
    """What the proof says of the whole peft, and why it refuses a broken one: from the start, and from later on."""
    run, job = RunDirectory(Path(path)), read_job(Path(path))
    environ.prepare(job.profile, job.cache)
    models = JudgeModels.load(run, job, None, "Which weapon should I upgrade?", lambda *_: None)
    whole = models.prove()
    PeftModel.disable_adapter = lambda self: contextlib.nullcontext()
    try:
        models.prove()
        late = ""
    except TrainingFailure as failure:
        late = failure.message
    return [whole.off, whole.on, late]
