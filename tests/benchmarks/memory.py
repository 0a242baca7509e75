"""Peak memory of real fine-tunes on a real GPU, over many shapes and settings: what the forecast is calibrated on.

    PYTHONPATH=. python tests/benchmarks/memory.py sweep OUT.jsonl [--seconds 540] [--workers 8]
    PYTHONPATH=. python tests/benchmarks/memory.py table OUT.jsonl ... > docs/memory.csv

Run it with an interpreter that has the training stack. The models have the shapes of Llama 3.2 1B and 3B, Llama 3.1 8B
or Qwen 2.5 14B and random weights, stored in 4 bits; every row fills max_seq_length, and all of it is learned. Each
run is loaded, probed and trained for a few steps by `training.finetune.sft`, the functions of a real run; several
workers share the card, because the allocator counts for each process by itself.
"""

from __future__ import annotations

import argparse
import csv
import gc
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import random_models
from random_models import SHAPES

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "memory.csv"
WORK = Path(os.environ.get("MEMORY_WORK", "/dev/shm/memory"))
STEPS = 2
FINISHED = 3  # the exit code of a worker that found no row
LEFT_OVER_MIB = 40  # a worker that holds more between two runs ends, and another takes its place
FAMILIES = [shape for shape in SHAPES if shape not in ("1b", "3b", "8b", "14b")]
MAKERS = 4  # models that are written at the same time
KIND = ("loss_tile_mib", "segments")  # what a process is bound to
ASKED = ("shape", "load_in_4bit", "seq", "batch", "r", "checkpointing", "offload_layers", "offload_embedding",
         "loss_tile_mib", "optim", "segments", "rows_in_pass", "evaluated")  # fmt: skip
DEFAULTS = {"rows_in_pass": 1, "evaluated": False}  # of columns that the first rows of the table did not have
FOUND = ("loading_mib", "loaded_mib", "adapter_mib", "probe_reserved_mib", "peak_allocated_mib", "peak_reserved_mib",
         "context_mib")  # fmt: skip


def folder_of(shape: str, *, load_in_4bit: bool = True) -> Path:
    return WORK / (f"{shape}-bnb-4bit" if load_in_4bit else f"{shape}-plain")


def make_model(shape: str) -> None:
    plain, unfinished = folder_of(shape, load_in_4bit=False), WORK / f"{shape}-unfinished"
    random_models.write(shape, plain)
    random_models.quantise(plain, unfinished)
    unfinished.rename(folder_of(shape))
    if shape != "1b":
        shutil.rmtree(plain)  # host memory is short


def plan() -> list[dict[str, Any]]:
    """The settings to measure, most telling first; those that docs/memory.csv has already are left out."""
    base = {"load_in_4bit": True, "batch": 1, "r": 16, "checkpointing": "unsloth", "offload_layers": 0,
            "offload_embedding": False, "loss_tile_mib": 256, "optim": "adamw_8bit",
            "segments": "expandable", **DEFAULTS}  # fmt: skip
    offloads = {"1b": 8, "3b": 14, "8b": 20}
    grid = [
        base | {"shape": shape, "seq": seq, "batch": batch, "r": r, "checkpointing": checkpointing,
                "offload_layers": offloads[shape] * offload}
        for shape, seq, batch, r, checkpointing, offload in itertools.product(
            offloads, (512, 1024, 2048, 4096), (1, 2), (8, 16, 64), ("unsloth", True), (0, 1))
    ]  # fmt: skip
    random.Random(0).shuffle(grid)
    seed_table = base | {"shape": "3b", "seq": 2048}
    tight = base | {"shape": "8b", "seq": 1024, "offload_layers": 24, "offload_embedding": True}
    qwen = base | {"shape": "14b", "r": 32}
    families = [
        base | {"shape": shape} | changed
        for shape in FAMILIES
        for changed in ({"seq": 2048}, {"seq": 1024, "checkpointing": True}, {"seq": 1024, "batch": 2, "r": 32})
    ]
    packed = [base | {"shape": shape, "seq": seq, "rows_in_pass": count, "evaluated": evaluated}
              for shape, seq, count, evaluated in (
                  ("3b", 2048, 1, True), ("3b", 2048, 4, True), ("3b", 2048, 16, False), ("3b", 1024, 4, True),
                  ("1b", 2048, 8, True), ("qwen3-4b", 2048, 8, True))]  # fmt: skip
    rows = [
        *families, *packed,
        *(row | {"segments": "fixed"} for row in (seed_table, tight, *grid[:24])),
        *(base | {"shape": shape, "seq": seq, "checkpointing": False, "r": r}
          for shape, r in (("1b", 16), ("3b", 16)) for seq in (512, 1024, 2048)),
        *(base | {"shape": "1b", "seq": seq, "load_in_4bit": False, "checkpointing": checkpointing}
          for seq in (512, 2048) for checkpointing in ("unsloth", True)),
        *(qwen | {"seq": 4096, "batch": 2, "checkpointing": True}, qwen | {"seq": 2048}),
        *(seed_table | {"loss_tile_mib": tile, "seq": seq} for tile in (32, 64, 128) for seq in (2048, 4096)),
        *(tight | {"loss_tile_mib": tile, "seq": seq} for tile in (32, 64) for seq in (512, 1024)),
        *(seed_table | {"optim": optim, "r": r} for optim in ("adamw_torch", "paged_adamw_8bit") for r in (16, 64)),
        *grid,
    ]  # fmt: skip
    done = list(csv.DictReader(TABLE.read_text().splitlines())) if TABLE.exists() else []
    known = {tuple(str((DEFAULTS | row)[name]) for name in ASKED) for row in done}
    return [row for row in rows if tuple(str(row[name]) for name in ASKED) not in known]


def measure(row: dict[str, Any]) -> dict[str, Any]:
    """Loads, probes and trains as `row` says; the figures, in MiB."""
    import torch

    from training.contract.profile import Profile
    from training.contract.run_directory import RunDirectory
    from training.dataset.split import Steps
    from training.finetune import sft
    from training.finetune.probe import Probe
    from training.finetune.ranks import Ranks
    from training.finetune.vram import VramLimit
    from training.job.examples import Examples

    profile = Profile.model_validate({
        "model": {"name": str(folder_of(row["shape"], load_in_4bit=row["load_in_4bit"])),
                  "load_in_4bit": row["load_in_4bit"], "max_seq_length": row["seq"],
                  "offload_layers": row["offload_layers"], "offload_embedding": row["offload_embedding"]},
        "lora": {"r": row["r"]},
        "training": {"per_device_train_batch_size": row["batch"],
                     "gradient_accumulation_steps": 2 * row["rows_in_pass"], "max_steps": STEPS,
                     "gradient_checkpointing": row["checkpointing"], "optim": row["optim"]},
        "evaluation": {"eval_steps": 1000},
        "checkpoints": {"save_steps": 1000},
    })  # fmt: skip
    told: list[Any] = []
    events = type("Events", (), {"emit": staticmethod(told.append)})
    attempt: Any = type("Told", (), {"events": events, "ranks": Ranks()})
    began = time.monotonic()
    torch.cuda.reset_peak_memory_stats()
    result = dict(row, before_mib=mib(torch.cuda.memory_allocated()))
    model, tokenizer = sft.load_model(profile, profile.model.name)
    result |= {"loaded_mib": mib(torch.cuda.memory_allocated()), "loading_mib": mib(torch.cuda.max_memory_reserved()),
               "load_s": round(time.monotonic() - began, 1)}  # fmt: skip
    model = sft.add_adapter(model, profile)
    result["adapter_mib"] = mib(torch.cuda.memory_allocated())
    count = row["rows_in_pass"]
    # A packed pass is never longer than max_seq_length for each row of the batch.
    rows = [filled(row["seq"] // count, seed) for seed in range(2 * STEPS * row["batch"] * count)]
    examples = Examples(train=rows, eval=rows if row["evaluated"] else [])
    limit = VramLimit(profile, None, WORK)
    limit.mib = None  # several workers share the card
    run, steps = RunDirectory(WORK / f"run-{os.getpid()}"), Steps(STEPS, STEPS)
    trainer = sft.build_trainer(profile, run, model, tokenizer, examples, steps, print)
    trainer.add_callback(Probe(trainer, examples, attempt, Any, profile, None, limit))
    trainer.train()
    torch.cuda.synchronize()
    event = told[-1]
    result |= {
        "probe_allocated_mib": event.peak_allocated_mib,
        "probe_reserved_mib": event.peak_reserved_mib,
        "peak_allocated_mib": mib(torch.cuda.max_memory_allocated()),
        "peak_reserved_mib": mib(torch.cuda.max_memory_reserved()),
        "process_mib": process_mib(),
        "reserved_mib": mib(torch.cuda.memory_reserved()),
        "total_s": round(time.monotonic() - began, 1),
    }
    if result["process_mib"]:
        result["context_mib"] = round(result["process_mib"] - result["reserved_mib"], 1)
    return result


def filled(length: int, seed: int) -> dict[str, list[int]]:
    tokens = random.Random(seed).choices(range(10, 500), k=length)
    return {"input_ids": tokens, "labels": tokens}


def mib(count: int) -> float:
    return round(count / 2**20, 1)


def process_mib() -> float | None:
    """What NVML says that this process holds on the card, its CUDA context included."""
    import pynvml

    pynvml.nvmlInit()
    for process in pynvml.nvmlDeviceGetComputeRunningProcesses(
        pynvml.nvmlDeviceGetHandleByIndex(int(os.environ["CUDA_VISIBLE_DEVICES"]))
    ):
        if process.pid == os.getpid() and process.usedGpuMemory:
            return mib(process.usedGpuMemory)
    return None


def work(arguments: argparse.Namespace) -> None:
    """One worker: takes rows that no other has taken, all of its first one's kind, until time is up."""
    os.environ["CUDA_VISIBLE_DEVICES"] = arguments.device
    kind: list[Any] = []
    for number, row in enumerate(plan()):
        if time.time() > arguments.until:
            return
        if kind and [row[key] for key in KIND] != kind:
            continue
        try:
            (WORK / "claims" / str(number)).mkdir()
        except FileExistsError:
            continue
        if not kind:
            kind = [row[key] for key in KIND]
            settle(row)
        while not folder_of(row["shape"]).exists():
            if time.time() > arguments.until:
                return
            time.sleep(0.5)
        try:
            result = measure(row)
        except Exception as error:  # noqa: BLE001  out of memory is a result as well
            result = dict(row, error=f"{type(error).__name__}: {error}"[:300])
        with Path(arguments.out).open("a") as file:
            file.write(json.dumps(result) + "\n")
        if left_over_mib() > LEFT_OVER_MIB:
            return
    if not kind:
        sys.exit(FINISHED)  # no row is left to take


def settle(row: dict[str, Any]) -> None:
    """What the libraries read once, when they are imported."""
    from training.contract.profile import Profile
    from training.job import environ

    tile = {"loss_tile_mib": row["loss_tile_mib"]}
    environ.prepare(Profile.model_validate({"model": {"name": "/nowhere"}, "training": tile}), WORK / "cache")
    if row["segments"] == "fixed":  # as under WSL2, where expandable ones are not to be had
        os.environ["PYTORCH_ALLOC_CONF"] = environ.FIXED_SEGMENTS
    import unsloth  # noqa: F401


def left_over_mib() -> float:
    """What this process still holds when a run is over."""
    import torch
    from bitsandbytes.optim import GlobalOptimManager

    GlobalOptimManager.get_instance().initialize()  # it keeps the embeddings of every model that it has seen
    for _ in range(3):
        gc.collect()
    torch.cuda.empty_cache()
    return mib(torch.cuda.memory_allocated())


def sweep(arguments: argparse.Namespace) -> None:
    (WORK / "claims").mkdir(parents=True, exist_ok=True)
    for claim in (WORK / "claims").iterdir():
        claim.rmdir()
    me = [sys.executable, str(Path(__file__).resolve())]
    until = time.time() + arguments.seconds
    shapes = list(dict.fromkeys(row["shape"] for row in plan()))
    makers: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([*me, "work", arguments.out, "--until", str(until), "--device", arguments.device])

    workers = [start() for _ in range(arguments.workers)]
    while time.time() < until:
        makers = [process for process in makers if process.poll() is None]
        if shapes and len(makers) < MAKERS:
            makers.append(subprocess.Popen([*me, "make", shapes.pop(0)]))
        workers = [start() if worker.poll() not in (None, FINISHED) else worker for worker in workers]
        if all(worker.poll() == FINISHED for worker in workers):
            break
        time.sleep(0.5)
    for worker in workers:
        worker.wait()
    print(f"{Path(arguments.out).read_text().count(chr(10))} of {len(plan())} rows in {arguments.out}")


def table(arguments: argparse.Namespace) -> None:
    writer = csv.DictWriter(sys.stdout, ASKED + FOUND, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for path in arguments.files:
        rows = map(json.loads, Path(path).read_text().splitlines())
        writer.writerows({"load_in_4bit": True} | DEFAULTS | row for row in rows if "error" not in row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    make = actions.add_parser("make")
    make.add_argument("shape", choices=SHAPES)
    make.set_defaults(run=lambda arguments: make_model(arguments.shape))
    sweeping = actions.add_parser("sweep")
    sweeping.add_argument("--seconds", type=float, default=540)
    sweeping.add_argument("--workers", type=int, default=8)
    sweeping.set_defaults(run=sweep)
    working = actions.add_parser("work")
    working.add_argument("--until", type=float)
    working.set_defaults(run=work)
    for action in (sweeping, working):
        action.add_argument("out")
        action.add_argument("--device", default="0", help="the card, as nvidia-smi counts")
    printing = actions.add_parser("table")
    printing.add_argument("files", nargs="+")
    printing.set_defaults(run=table)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    main()
