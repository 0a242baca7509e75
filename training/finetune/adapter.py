"""Saves the adapter in PEFT's own layout. A reader finds a whole adapter, the old one or the new one, at any time."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from training.contract.card_text import CARD
from training.contract.checkpoints import ADAPTER, ARCHIVES, CHECKSUMS, RANDOM_STATES, STATE
from training.contract.failures import name_full_disk, name_large_file
from training.contract.run_directory import ADAPTER_CONFIG
from training.finetune import checkpoints

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

UNFINISHED = ".adapter-"
_TRAINING_FILES = frozenset({STATE, *ARCHIVES, CHECKSUMS, "training_args.bin", "scaler.pt"})
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # arguments of the system call renameat2


def save(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path, card: str, best: Path | None = None
) -> None:
    """Save the adapter, the tokenizer and the model card in `folder`, and delete what was there. If `best` is given,
    its adapter is saved and not the model's; `best` is the folder of a checkpoint."""
    with _replace(folder, card) as temporary:
        with name_large_file(temporary, folder, ADAPTER):
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
        if best:
            for name in (ADAPTER, ADAPTER_CONFIG):
                shutil.copyfile(best / name, temporary / name)


def copy(checkpoint: Path, folder: Path, card: str) -> None:
    """Save the adapter and the tokenizer of `checkpoint` in `folder`, as `save` does, but without a model."""
    with _replace(folder, card) as temporary:
        for path in checkpoint.iterdir():
            if path.name not in _TRAINING_FILES and not path.match(RANDOM_STATES) and path.is_file():
                shutil.copyfile(path, temporary / path.name)


@contextmanager
def _replace(folder: Path, card: str) -> Iterator[Path]:
    """Yield an empty folder to fill. With the model card, it then replaces `folder` in one step."""
    for unfinished in folder.parent.glob(f"{UNFINISHED}*"):  # left by a save that was killed
        shutil.rmtree(unfinished)
    with name_full_disk(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=UNFINISHED))
        try:
            yield temporary
            (temporary / CARD).write_text(card, encoding="utf-8")  # instead of PEFT's template without facts
            checkpoints.flush(temporary)
            if folder.exists():
                _exchange(temporary, folder)  # after this, `temporary` is the old adapter
            else:
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step, or in three where the file system or the C library can't do it in one."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
        swapped = renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0
    except AttributeError:
        swapped = False
    if not swapped:
        aside = one.with_name(f"{one.name}-old")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
