"""Python imports this at the start of each process that has this folder in PYTHONPATH. It breaks the real trainer in
step 5, and makes the clock of the keeper fast. The step of the first attempt never ends, while its heartbeat goes on.
That of later attempts finds no memory while the tiles of the loss have their first size.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FIRST_TILE = "256"  # the default of training.loss_tile_mib
MESSAGE = (
    "CUDA out of memory. Tried to allocate 8.00 MiB. GPU 0 has a total capacity of 4.00 GiB of which 2.00 MiB is free."
)
FIRST_ATTEMPT = '"attempt":1,'


def break_trainer(module: ModuleType) -> None:
    import torch

    training_step = module.Trainer.training_step

    def fail(self: Any, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        is_first = FIRST_ATTEMPT in read_process()
        if self.state.global_step == 4 and is_first:
            time.sleep(3600)
        elif self.state.global_step == 4 and os.environ["UNSLOTH_FUSED_LINEAR_BWD_TILE_MB"] == FIRST_TILE:
            model.forward = run_out_of_memory
        elif is_first and self.state.global_step:
            time.sleep(0.8)  # so that the keeper sees what is usual: it looks twice a second
        return training_step(self, model, inputs, *rest, **more)

    def run_out_of_memory(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError(MESSAGE)

    module.Trainer.training_step = fail


def read_process() -> str:
    from pathlib import Path

    return Path(sys.argv[-1], "process.json").read_text().replace(" ", "")


def beat_faster(module: ModuleType) -> None:
    module.HEARTBEAT_SECONDS = 0.05


def look_faster(module: ModuleType) -> None:
    module.LOOK_SECONDS, module.MIN_SECONDS, module.MIN_STEPS = 0.2, 1.0, 2


PATCHES: dict[str, Callable[[ModuleType], None]] = {
    "training.finetune.trainer": break_trainer,
    "training.finetune.attempt": beat_faster,
    "training.keeper.hangs": look_faster,
}


class Finder(importlib.abc.MetaPathFinder):
    """Patches a module right after it has been imported."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        patch = PATCHES.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        assert spec and spec.loader
        execute = spec.loader.exec_module

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            patch(module)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder())
