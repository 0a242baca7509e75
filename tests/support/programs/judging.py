"""The judge's proof that a base model answered, with a peft that does not switch its adapter off."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from peft import PeftModel

from training.contract.failures import TrainingFailure
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.answers import count_fitting
from training.job.job import read_job
from training.judge.models import JudgeModels


def sabotage(path: str) -> list[Any]:
    """What the proof says of the whole peft, and why it refuses one that is broken from then on. Also how many answers
    of 356 tokens fit beside each other: on the CPU, and on a GPU of each size, for the shape of Llama 3.2 3B."""
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
    shape = SimpleNamespace(num_attention_heads=24, num_key_value_heads=8, head_dim=128, num_hidden_layers=28)
    config = SimpleNamespace(get_text_config=lambda: shape)
    fitting = [count_fitting(SimpleNamespace(device=torch.device("cpu")), 356)]
    for free_mib in (10, 400, 1_000, 20_000):
        torch.cuda.mem_get_info = lambda free=free_mib: (free * 2**20, 0)
        fitting.append(count_fitting(SimpleNamespace(device=torch.device("cuda"), config=config), 356))
    return [whole.off, whole.on, late, fitting]
