"""Gives a tokenizer the chat template that the profile chooses in model.chat_template."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from training.contract import files
from training.contract.failures import TrainingFailure
from training.contract.model_path import find_model_folder, is_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.job.job import Job

MAX_BYTES = 1_000_000  # of a template's file


def keep_template(job: Job) -> Job:
    """Return `job` with the text of the template's file in its config. The run then goes on with this text, whatever
    becomes of the file. Raises TrainingFailure."""
    choice = job.profile.model.chat_template
    if not choice or not is_path(choice) or job.config.chat_template:
        return job
    return replace(job, config=msgspec.structs.replace(job.config, chat_template=read_template(choice)))


def set_chat_template(
    tokenizer: PreTrainedTokenizerBase, choice: str | None, kept: str = ""
) -> PreTrainedTokenizerBase:
    """Return `tokenizer` with the chat template `choice`: a file, or a name that Unsloth knows. None changes nothing.
    `kept` is the text of the file as the run began with it; see `keep_template`.

    With a name, Unsloth renames tokens so that the model's end token is the one that ends an answer in the template.
    The result may be another object. Import Unsloth before transformers. Raises TrainingFailure.
    """
    if choice is None:
        return tokenizer
    if is_path(choice):
        tokenizer.chat_template = kept or read_template(choice)
        return tokenizer
    from unsloth.chat_templates import get_chat_template

    try:
        return get_chat_template(tokenizer, chat_template=choice)
    except Exception as error:
        raise TrainingFailure(
            "bad_config",
            f'The chat template "{choice}" can\'t be used with this model: {str(error) or type(error).__name__}',
            'Choose another model.chat_template; "chatml" works with most models.',
        ) from error
    finally:
        shutil.rmtree("_unsloth_sentencepiece_temp", ignore_errors=True)  # Unsloth leaves it in the working directory


def read_template(name: str) -> str:
    """Read the Jinja template in the file `name`. Raises TrainingFailure."""
    path = find_model_folder(name) or Path(name)
    try:
        return files.read(path, MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text in UTF-8"
        raise TrainingFailure(
            "bad_config",
            f"The chat template {path} can't be read: {reason}.",
            "Put the file back, or change model.chat_template.",
        ) from error
