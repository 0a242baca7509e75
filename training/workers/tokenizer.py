"""The tokenizer of a job for the workers, with the chat template that the profile chooses.

Unsloth's templates need Unsloth, and so torch. A process of its own applies one, once; its tokenizer is then kept in
the cache: CACHE/tokenizers/KEY.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.contract import failures
from training.contract.failures import TrainingFailure
from training.contract.model_path import is_path
from training.contract.process import die_with_parent
from training.job import environ, model
from training.job.chosen_template import set_chat_template
from training.job.job import Job, read_job
from training.job.kept_tokens import hash_tokenizer


def load_tokenizer(job: Job) -> Any:
    """Load the tokenizer of `job`. This does not import torch. Raises TrainingFailure."""
    tokenizer, choice = _load_own(job), job.profile.model.chat_template
    if choice is None or is_path(choice):
        return set_chat_template(tokenizer, choice, job.config.chat_template)
    key = hashlib.sha256("\0".join((hash_tokenizer(tokenizer), choice, version("unsloth"))).encode()).hexdigest()[:32]
    folder = job.cache / "tokenizers" / key
    if not folder.is_dir():
        _write_in_process(job, folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def _load_own(job: Job) -> Any:
    """Load the tokenizer as the model brings it."""
    return model.load_tokenizer(job.model_name, job.cache, job.profile.model.revision)


def _write_in_process(job: Job, folder: Path) -> None:
    """Let another process write the tokenizer with Unsloth's template to `folder`, whole or not at all."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as temporary:
        config, new = Path(temporary) / "config.json", Path(temporary) / "tokenizer"
        job.config.write(config)
        done = subprocess.run(
            [sys.executable, "-m", "training", "template", str(config), str(new)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise _read_failure(done)
        if not folder.exists():
            new.rename(folder)


def _read_failure(done: subprocess.CompletedProcess[bytes]) -> TrainingFailure:
    last = done.stdout.decode("utf-8", "replace").strip().rpartition("\n")[2]
    try:
        kind, message, hint = json.loads(last)
    except (ValueError, TypeError):
        last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        kind, message, hint = (
            "unknown",
            f"Unsloth could not set the chat template: {last or 'its process was ended'}",
            "",
        )
    return TrainingFailure(kind, message, hint)


def write(config: Path, folder: Path) -> int:
    """Write the tokenizer of the job in `config`, with Unsloth's chat template, to `folder`. Returns 0, or 1 after a
    line of JSON on stdout: the kind of the failure, its message and its hint."""
    die_with_parent(True)
    try:
        job = read_job(config)
        environ.prepare(job.profile, job.cache)
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # it needs nothing of the card
        import unsloth  # noqa: F401  before transformers, which it patches

        set_chat_template(_load_own(job), job.profile.model.chat_template).save_pretrained(folder)
    except Exception as error:  # noqa: BLE001  the worker reports it
        failure = failures.classify(error)
        print(json.dumps([failure.kind, failure.message, failure.hint]))  # noqa: T201
        return 1
    return 0
