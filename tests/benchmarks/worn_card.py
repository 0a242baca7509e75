"""What becomes of a run on a real card that gets too hot, that NVML loses, and whose trainer is killed.

    PYTHONPATH=. python tests/benchmarks/worn_card.py 1b [--steps 40] [--length 1024] [--batch 8] [--work DIR]

Run it with an interpreter that has the training stack. The same fine-tune runs four times: undisturbed; with
`hardware.pause_above_celsius` a little below the heat that it reached; with every NVML call failing after a while, as
for a card that fell off the bus; and killed after a checkpoint, then gone on with. Prints one JSON line for each, with
the largest difference of its losses from the undisturbed ones'.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gpu import ROOT, ev_of, shaped

from training.contract import cache
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

Losses = dict[int, float | None]
BELOW = 3  # °C that the limit is set below the heat reached


def begin(run: RunDirectory, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with run.log.open("ab") as log:
        command = [sys.executable, "-m", "training", str(run.path)]
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**os.environ, cache.VARIABLE: str(run.path.parent / "cache"), **environment},
        )


def prepared(work: Path, name: str, config: dict[str, Any], **hardware: Any) -> RunDirectory:
    run = RunDirectory(work / name)
    run.create()
    profile = config["profile"]
    changed = {**config, "profile": {**profile, "hardware": {**profile["hardware"], **hardware}}}
    run.config.write_text(json.dumps(changed))
    return run


def ended(run: RunDirectory, trainer: subprocess.Popen[bytes]) -> list[ev.Event]:
    if trainer.wait():
        sys.exit(f"{ev_of(run)[-1]}\n{run.log.read_text()[-3000:]}")
    return ev_of(run)


def killed(run: RunDirectory) -> None:
    """Kills the trainer two steps after its first checkpoint."""
    trainer, step = begin(run, {}), None
    while trainer.poll() is None:
        time.sleep(0.05)
        events = ev_of(run) if run.events.exists() else []
        step = next((event.step for event in events if isinstance(event, ev.Checkpoint)), None)
        if step and any(isinstance(event, ev.Metrics) and event.step >= step + 2 for event in events):
            break
    identity = run.read_process()
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    trainer.wait()


def tell(
    name: str, events: list[ev.Event], undisturbed: dict[int, float | None], **more: Any
) -> dict[int, float | None]:
    losses = {event.step: event.loss for event in events if isinstance(event, ev.Metrics)}
    apart = [abs((losses[step] or 0) - (loss or 0)) for step, loss in undisturbed.items() if step in losses]
    heat = [event.temperature for event in events if isinstance(event, ev.Gpu) and event.temperature is not None]
    found = {
        "run": name,
        "ended": type(events[-1]).__name__.lower(),
        "steps": max(losses),
        "losses_apart": max(apart, default=None),
        "celsius": [heat[0], max(heat)] if heat else None,
        "warnings": [event.message for event in events if isinstance(event, ev.Warned)],
        **more,
    }
    print(json.dumps(found, ensure_ascii=False), flush=True)
    return losses


def cooling(events: list[ev.Event]) -> dict[str, Any]:
    """How often and how long the run waited, at what temperatures it went on, and what it had saved."""
    paused = [
        number for number, event in enumerate(events) if isinstance(event, ev.Warned) and "paused" in event.message
    ]
    ends = [
        next(number for number in range(start, len(events)) if getattr(events[number], "name", "") == "training")
        for start in paused
    ]
    return {
        "pauses": len(paused),
        "paused_seconds": [
            round(events[end].time - events[start].time, 1) for start, end in zip(paused, ends, strict=True)
        ],
        "checkpoints": [event.step for event in events if isinstance(event, ev.Checkpoint)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--length", type=int, default=1024, help="tokens a row")
    parser.add_argument("--batch", type=int, default=8, help="rows a step: more of them heat a large card")
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        config = shaped(args.shape, args.steps, args.length, work)
        config["profile"]["dataset"]["eval_fraction"] = 0.0
        config["profile"]["checkpoints"]["save_steps"] = args.steps // 4
        config["profile"]["training"] |= {"per_device_train_batch_size": args.batch, "gradient_accumulation_steps": 1}

        run = prepared(work, "undisturbed", config)
        events = ended(run, begin(run, {}))
        losses = tell("undisturbed", events, {})
        hottest = max(event.temperature or 0 for event in events if isinstance(event, ev.Gpu))

        run = prepared(work, "nvml lost", config)
        shutil.copy(Path(__file__).with_name("lose_nvml.py"), work / "sitecustomize.py")  # Python imports it by itself
        lost = {
            "PYTHONPATH": os.pathsep.join([str(work), os.environ["PYTHONPATH"]]),
            "LOSE_NVML_AT_STEP": str(args.steps // 2),
            "LOSE_NVML_EVENTS": str(run.events),
        }
        tell("nvml lost", ended(run, begin(run, lost)), losses)

        run = prepared(work, "killed", config)
        killed(run)
        tell("killed", ended(run, begin(run, {})), losses)

        limit = max(40, int(hottest) - BELOW)
        run = prepared(work, "hot", config, pause_above_celsius=limit)
        events = ended(run, begin(run, {}))
        tell("hot", events, losses, pause_above_celsius=limit, **cooling(events))


if __name__ == "__main__":
    main()
