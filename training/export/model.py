"""Writes a merged model with everything that belongs to it, so that any library loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.export.merge import Merge
from training.export.model_files import copy_licences, copy_tokenizer, write_config, write_generation_config


def write_model(merge: Merge, template: str, folder: Path, report: Callable[[int, int], None]) -> list[str]:
    """Write the model into the empty folder `folder`. `template` is the text of the run's own chat template, "" if it
    has none. Returns the names of the files with weights. Raises TrainingFailure, OSError."""
    base = merge.base
    copy_tokenizer(merge.adapter.folder, folder, template)
    copy_licences(base.folder, folder)
    write_generation_config(folder, base.folder, base.config)
    names = merge.write(folder, report)
    write_config(folder, base.config, merge.dtype, untied=merge.untied, vocabulary=merge.find_vocabulary())
    return names
