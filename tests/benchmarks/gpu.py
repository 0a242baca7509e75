"""Peak memory and speed on a real GPU: `python -m training` beside the bare Unsloth script, for the same profile.

    PYTHONPATH=. python tests/benchmarks/gpu.py demo 3b [--evaluate] [--steps 24] [--length 2048] [--work DIR]

Run it with an interpreter that has the training stack. The model has the shape of Llama-3.2-1B, 3B or Llama-3.1-8B and
random weights: memory and speed are those of the real one, the loss means nothing. Prints one JSON line for each run,
and the ratios. Without `--evaluate` both only train: the bare script generates no samples.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from random_models import SHAPES

from codex_tui.profiles.resolve import load_profile
from training.contract import cache
from training.contract import events as ev
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
PROFILE = ROOT / "profiles" / "rtx3050-4gb.toml"


def write_rows(path: Path, count: int, length: int) -> None:
    """Rows whose answers fill `length` tokens and more, so that each is cut at exactly that length."""
    dice = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    with path.open("w") as file:
        for number in range(count):
            words = " ".join("".join(dice.choices(letters, k=6)) for _ in range(length))
            file.write(json.dumps({"instruction": f"Say {number}.", "response": words}) + "\n")


def config_of(profile: Profile, dataset: str, cache: Path) -> dict[str, Any]:
    whole = profile.model_dump(mode="json")
    return {"version": 1, "name": "gpu", "created": time.time(), "profile_name": "gpu", "profile": whole,
            "dataset": dataset, "python": sys.executable, "cache": str(cache)}  # fmt: skip


def train(run: RunDirectory) -> dict[str, Any]:
    """`python -m training RUN` in a process of its own; what its events and NVML say of memory and speed."""
    from bare_unsloth import DeviceMemory

    device = DeviceMemory()
    with run.log.open("wb") as log:
        environ = {**os.environ, cache.VARIABLE: str(run.path.parent / "cache")}
        command = [sys.executable, "-m", "training", str(run.path)]
        done = subprocess.run(command, stdout=log, stderr=log, env=environ, check=False)
    events = ev_of(run)
    if done.returncode or not isinstance(events[-1], ev.Done):
        sys.exit(f"{events[-1]}\n{run.log.read_text()[-3000:]}")
    memory = [event for event in events if isinstance(event, ev.Memory)]
    metrics = [event for event in events if isinstance(event, ev.Metrics)]
    settled = metrics[len(metrics) // 5 :]
    seconds = sorted(after.time - before.time for before, after in pairwise(settled))
    rates = sorted((a.tokens - b.tokens) / (a.time - b.time) for b, a in pairwise(settled))
    return {
        "peak_allocated_mib": max((event.peak_allocated_mib or 0 for event in memory), default=None),
        "peak_reserved_mib": max((event.peak_reserved_mib or 0 for event in memory), default=None),
        "peak_device_mib": round(device.peak_mib) if device.peak_mib is not None else None,
        "steps": metrics[-1].step,
        "seconds_a_step": round(seconds[len(seconds) // 2], 4),
        "tokens_per_second": round(rates[len(rates) // 2], 1),
        "first_loss": metrics[0].loss,
        "last_loss": metrics[-1].loss,
    }


def ev_of(run: RunDirectory) -> list[ev.Event]:
    import msgspec

    return msgspec.json.Decoder(ev.AnyEvent).decode_lines(run.events.read_bytes())


def bare(run: RunDirectory) -> dict[str, Any]:
    script = Path(__file__).with_name("bare_unsloth.py")
    done = subprocess.run(
        [sys.executable, str(script), str(run.config), str(run.path / "bare")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def compare(name: str, config: dict[str, Any], work: Path) -> None:
    run = RunDirectory(work / name)
    run.create()
    run.config.write_text(json.dumps(config))
    results = {"bare": bare(run), "training": train(run)}
    for which, result in results.items():
        print(json.dumps({"run": name, "by": which, **result}), flush=True)
    ratios = {
        key: round(results["training"][key] / results["bare"][key], 3)
        for key in ("peak_allocated_mib", "peak_reserved_mib", "peak_device_mib", "tokens_per_second")
        if results["bare"][key]
    }
    print(json.dumps({"run": name, "by": "ratio", **ratios}), flush=True)


def shaped(shape: str, steps: int, length: int, work: Path) -> dict[str, Any]:
    """The 4 GB profile over a model of `shape`, every row `length` tokens long."""
    model = work / f"llama-{shape}"
    started = time.monotonic()
    command = [sys.executable, str(Path(__file__).with_name("random_models.py")), shape, str(model)]
    subprocess.run(command, check=True)  # a process of its own: its memory is not to be counted
    print(f"{shape} written in {time.monotonic() - started:.0f} s", flush=True)
    write_rows(work / "rows.jsonl", 4 * steps + 4, length)
    profile = load_profile(PROFILE)
    changed = {
        "model": profile.model.model_copy(update={"name": str(model), "max_seq_length": length}),
        "training": profile.training.model_copy(update={"max_steps": steps}),
        "checkpoints": profile.checkpoints.model_copy(update={"save_steps": steps}),
    }
    return config_of(profile.model_copy(update=changed), str(work / "rows.jsonl"), work / "cache")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices=["demo", *SHAPES])
    parser.add_argument("--steps", type=int, default=24, help="of a shape; the demo trains as its profile says")
    parser.add_argument("--length", type=int, default=2048, help="tokens a row, of a shape")
    parser.add_argument("--evaluate", action="store_true", help="evaluate, and generate samples, as the profile says")
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        for what in args.what:
            if what == "demo":
                demo = load_profile(ROOT / "profiles" / "demo.toml")
                config = config_of(demo, demo.dataset.path or "", work / "cache")
            else:
                config = shaped(what, args.steps, args.length, work)
            if not args.evaluate:
                config["profile"]["dataset"]["eval_fraction"] = 0.0
            compare(what, config, work)


if __name__ == "__main__":
    main()
