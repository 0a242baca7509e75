"""The heal on a real GPU: one long row at step 5 breaks a limit that the short rows before it keep.

    PYTHONPATH=. python tests/benchmarks/heal.py [--shape 3b] [--tokens 8192] [--work DIR]

Run it with an interpreter that has the training stack. It takes about four minutes on an H100. The model has random
weights and the shape of a real one. First a run without a limit measures what the long row needs; the limit of the
second run is lower than that, and higher than what the short rows need. The second run must find no memory in step 5,
continue by itself with less, and end with the losses of the first one. Prints one JSON line, and exits with 1 if it
does not heal as it should.
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
from pathlib import Path
from typing import Any

from capped import MAKE
from gpu import PROFILE, ROOT, config_of, ev_of
from memory import folder_of
from random_models import SHAPES

from codex_tui.profiles.resolve import load_profile
from training.contract import cache
from training.contract import events as ev
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.memory.forecast import CONTEXT_MIB

STEPS, STEP_ROWS, LONG_STEP = 8, 4, 5
SHORT_WORDS = (18, 33)  # about 160 tokens a row with the demo's tokenizer
CUT = 0.3  # of what the long row needs beyond the short ones is missing in the second run
MAX_DIFFERENCE = 0.02  # of the loss of a step: sums of bfloat16 are rounded otherwise in other tiles


def write_rows(path: Path, tokens: int, seed: int) -> int:
    """Write short rows, and one of at least `tokens` tokens that the trainer takes in LONG_STEP. Returns its line."""
    import torch

    count = STEPS * STEP_ROWS
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()  # as accelerate's sampler
    long_row = order[(LONG_STEP - 1) * STEP_ROWS + 1]
    dice = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            words = tokens if number == long_row else dice.randint(*SHORT_WORDS)
            answer = " ".join("".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(words))
            file.write(json.dumps({"instruction": f"Say {number}.", "response": answer}) + "\n")
    return long_row + 1


def make_profile(model: Path, tokens: int, limit: int | None) -> Profile:
    whole = load_profile(PROFILE).model_dump()
    whole["hardware"] |= {"vram_limit_mib": limit}
    whole["model"] |= {
        "name": str(model), "max_seq_length": tokens, "offload_layers": 0, "offload_embedding": False
    }  # fmt: skip
    whole["dataset"] |= {"eval_fraction": 0.0}
    whole["training"] |= {
        "max_steps": STEPS, "per_device_train_batch_size": 1, "gradient_accumulation_steps": STEP_ROWS
    }  # fmt: skip
    whole["checkpoints"] |= {"save_steps": LONG_STEP - 2}
    whole["launch"] |= {"probe": False}  # it would find the long row before step 1
    return Profile.model_validate(whole)


def train(name: str, profile: Profile, rows: Path, work: Path) -> tuple[list[ev.Event], float]:
    """Train with the keeper until the run ends. Returns its events and the seconds."""
    run = RunDirectory(work / name)
    run.create()
    run.config.write_text(json.dumps(config_of(profile, str(rows), work / "cache")))
    started = time.monotonic()
    with run.log.open("wb") as log:
        environ = os.environ | {cache.VARIABLE: str(work / "cache")}
        subprocess.run(
            [sys.executable, "-m", "training", str(run.path)], stdout=log, stderr=log, env=environ, check=False
        )
    events = ev_of(run)
    if not isinstance(events[-1], ev.Done):
        sys.exit(f"{name}: {events[-1]}\n{run.log.read_text()[-3000:]}")
    return events, time.monotonic() - started


def choose_limit(events: list[ev.Event]) -> int:
    """Choose a limit between what the short rows and what the long row had in use. The CUDA context comes on top."""
    memory = [event for event in events if isinstance(event, ev.Memory)]
    long, short = (
        max(event.peak_allocated_mib or 0 for event in memory if event.step < end) for end in (STEPS + 1, LONG_STEP)
    )
    print(json.dumps({"long_mib": long, "short_mib": short}), flush=True)
    return round(CONTEXT_MIB + long - CUT * (long - short))


def read_losses(events: list[ev.Event]) -> dict[int, float | None]:
    return {event.step: event.loss for event in events if isinstance(event, ev.Metrics)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="3b", choices=[*SHAPES])
    parser.add_argument("--tokens", type=int, default=8192, help="of the long row")
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        model = folder_of(args.shape)
        if not model.exists():
            subprocess.run([sys.executable, str(MAKE), "make", args.shape], check=True)
        unlimited = make_profile(model, args.tokens, None)
        line = write_rows(work / "rows.jsonl", args.tokens, unlimited.training.seed)
        events, seconds = train("unlimited", unlimited, work / "rows.jsonl", work)
        limit = choose_limit(events)
        healed, healed_seconds = train("healed", make_profile(model, args.tokens, limit), work / "rows.jsonl", work)
    result = compare(events, healed, line)
    result |= {"limit_mib": limit, "seconds": round(seconds, 1), "healed_seconds": round(healed_seconds, 1)}
    print(json.dumps(result), flush=True)
    return 0 if result["healed_as_it_should"] else 1


def compare(events: list[ev.Event], healed: list[ev.Event], line: int) -> dict[str, Any]:
    heals = [event for event in healed if isinstance(event, ev.Healed)]
    before, after = read_losses(events), read_losses(healed)
    differences = [abs((after[step] or 0) - (loss or 0)) for step, loss in before.items()]
    right = (
        len(heals) == 1
        and (heals[0].failed_step, heals[0].line) == (LONG_STEP, line)
        and before.keys() == after.keys()
        and max(differences) <= MAX_DIFFERENCE
    )
    return {
        "healed_as_it_should": right,
        "heals": [{"reason": heal.reason, "changes": heal.changes, "frees_mib": heal.frees_mib} for heal in heals],
        "failures": [event.message for event in healed if isinstance(event, ev.Failed)],
        "largest_difference_of_a_loss": max(differences),
        "losses": [before, after],
    }


if __name__ == "__main__":
    sys.exit(main())
