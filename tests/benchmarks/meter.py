"""Runs a fine-tune step by step on command, and measures its steps. `speed.py` starts one such process for each script.

    meter.py ours RUN_DIRECTORY
    meter.py bare CONFIG.json OUTPUT_DIR [options of bare_unsloth.py]

Commands come on stdin, one a line: `steps N` runs N steps, `profile N` runs N steps under torch's profiler, `calls N`
runs N steps and counts the calls of Python functions, `evaluate` evaluates once, `end` ends the process. Each answer is
one line of JSON on the descriptor METER_FD. The variables METER_VARLEN and METER_TOGGLE change one thing, see
toggles.py.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import sys
import time
from pathlib import Path
from typing import Any

import toggles
from kernel_counts import measure_kernels

answers = os.fdopen(int(os.environ["METER_FD"]), "w", buffering=1)
commands = os.fdopen(os.dup(0), "r", buffering=1)


def install() -> None:
    """Add the meter to the callbacks that every `transformers.Trainer` has."""
    import torch
    import transformers.trainer
    from transformers import TrainerCallback

    trainers: list[Any] = []
    train = transformers.trainer.Trainer.train

    def remember(trainer: Any, *arguments: Any, **options: Any) -> Any:
        trainers.append(trainer)
        return train(trainer, *arguments, **options)

    transformers.trainer.Trainer.train = remember

    class Meter(TrainerCallback):
        """Waits for a command whenever the steps of the last one are done."""

        def __init__(self) -> None:
            self.left = 0
            self.tokens = 0
            self.begun: float | None = None
            self.profiler: Any = None
            self.calls: cProfile.Profile | None = None

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            def count(module: Any, arguments: Any, inputs: dict[str, Any]) -> None:
                if module.training and inputs.get("input_ids") is not None:
                    self.tokens += inputs["input_ids"].numel()

            model.register_forward_pre_hook(count, with_kwargs=True)

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if self.left == 0:
                synchronize()
                self.answer(time.perf_counter())
                self.wait()
            self.left -= 1

        def answer(self, now: float) -> None:
            figures: dict[str, Any] = {"tokens": self.tokens}
            if self.begun is not None:
                figures["seconds"] = now - self.begun
            if self.profiler:
                self.profiler.stop()
                figures |= measure_kernels(self.profiler)
                self.profiler = None
            if self.calls:  # before Python 3.12 those of this thread alone, without the backward passes on a GPU
                self.calls.disable()
                figures["calls"] = pstats.Stats(self.calls).total_calls
                self.calls = None
            if torch.cuda.is_available():
                figures["reserved_mib"] = round(torch.cuda.max_memory_reserved() / 2**20)
                figures["allocated_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
            print(json.dumps(figures), file=answers)

        def wait(self) -> None:
            command, _, count = commands.readline().strip().partition(" ")
            if command in ("", "end"):
                os._exit(0)
            if command == "evaluate":
                print(json.dumps(self.evaluate()), file=answers)
                self.wait()
                return
            self.left = int(count)
            self.tokens = 0
            if command == "profile":
                device = torch.profiler.ProfilerActivity.CUDA if torch.cuda.is_available() else None
                self.profiler = torch.profiler.profile(activities=[device or torch.profiler.ProfilerActivity.CPU])
                self.profiler.start()
            if command == "calls":
                self.calls = cProfile.Profile()
                self.calls.enable()
            synchronize()
            self.begun = time.perf_counter()

        def evaluate(self) -> dict[str, Any]:
            """Evaluate once for the time and the memory, and once more under the profiler."""
            trainer = trainers[-1]

            def run() -> float:
                begun = time.perf_counter()
                trainer.evaluation_loop(trainer.get_eval_dataloader(), "Evaluation", prediction_loss_only=True)
                synchronize()
                return time.perf_counter() - begun

            on_gpu = torch.cuda.is_available()
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            figures: dict[str, Any] = {"rows": len(trainer.eval_dataset), "first_seconds": run(), "seconds": run()}
            if on_gpu:
                figures["allocated_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
                with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
                    run()
                figures |= measure_kernels(profiler)
            trainer.model.train()
            return figures

    def synchronize() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    transformers.trainer.DEFAULT_CALLBACKS.append(Meter)


def main(kind: str, target: str, *options: str) -> None:
    if kind == "ours":
        from training.contract.run_directory import RunDirectory
        from training.finetune import entry
        from training.job import environ
        from training.job.job import read_job

        job = read_job(Path(target))
        environ.prepare(job.profile, job.cache)  # before the first import of Unsloth, as the trainer does
        toggles.prepare()
        import unsloth

        install()
        toggles.apply()
        entry.train(RunDirectory(Path(target)).path)
    else:
        import bare_unsloth

        bare_unsloth.prepare(Path(target))
        toggles.prepare()
        import unsloth  # noqa: F401

        install()
        bare_unsloth.main([target, *options])


if __name__ == "__main__":
    main(*sys.argv[1:])
