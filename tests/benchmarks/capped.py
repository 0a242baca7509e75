"""3B and 8B inside a small card, for real: fine-tunes under the allocator's cap, beside the same ones without it.

    PYTHONPATH=. python tests/benchmarks/capped.py 3b:2048 8b:1024 [--card 4096] [--steps 8] [--uncapped]

Run it with an interpreter that has the training stack. `3b` is profiles/rtx3050-4gb.toml and `8b` its 8B sister, on
random weights of their models' shapes, every row as long as the number says. The cap is the card less the profile's
display reserve, and the allocator's segments can't grow, as under WSL2. `--uncapped` runs the same without cap and
offloading afterwards, on the whole card, for the ratio. Prints one JSON line for each run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from gpu import ROOT, config_of, ev_of, train, write_rows

from codex_tui.profiles.resolve import load_profile
from training.contract import events as ev
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.job.environ import FIXED_SEGMENTS

PROFILES = {"3b": "rtx3050-4gb", "8b": "rtx3050-4gb-8b"}
MAKE = Path(__file__).with_name("memory.py")


def profile_for(shape: str, tokens: int, steps: int, card: int | None) -> Profile:
    """The shipped profile at `tokens` a row, held to a card of `card` MiB; without a limit where that is None."""
    from memory import folder_of

    shipped = load_profile(ROOT / "profiles" / f"{PROFILES[shape]}.toml")
    whole = shipped.model_dump()
    whole["model"] |= {"name": str(folder_of(shape)), "max_seq_length": tokens}
    whole["training"] |= {"max_steps": steps}
    whole["dataset"] |= {"eval_fraction": 0.0}
    whole["checkpoints"] |= {"save_steps": steps}
    if card is None:
        whole["model"] |= {"offload_layers": 0, "offload_embedding": False}
    else:
        whole["hardware"] |= {"vram_limit_mib": card - whole["hardware"]["display_reserve_mib"]}
        if tokens > shipped.model.max_seq_length:  # more than the profile was made for
            whole["model"] |= {"offload_layers": "auto"}
    return Profile.model_validate(whole)


def measure(shape: str, tokens: int, steps: int, card: int | None, work: Path) -> dict[str, Any]:
    profile = profile_for(shape, tokens, steps, card)
    rows = work / f"rows-{tokens}.jsonl"
    write_rows(rows, 4 * steps + 4, tokens)
    run = RunDirectory(work / f"{shape}-{tokens}-{card}")
    run.create()
    run.config.write_text(json.dumps(config_of(profile, str(rows), work / "cache")))
    try:
        found = train(run)
    except SystemExit as ended:
        return {"run": f"{shape}:{tokens}", "limit_mib": profile.hardware.vram_limit_mib, "failed": str(ended)[:2000]}
    events = ev_of(run)
    probe = next(event for event in events if isinstance(event, ev.Probe))
    changed = next(event for event in events if isinstance(event, ev.Resolved)).changed
    return {
        "run": f"{shape}:{tokens}",
        "limit_mib": profile.hardware.vram_limit_mib,
        "offload_layers": changed.get("model.offload_layers", [0, profile.model.offload_layers])[1],
        "probe": {name: getattr(probe, name) for name in probe.__struct_fields__ if name.endswith("mib")},
        "warnings": [event.message for event in events if isinstance(event, ev.Warned)],
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="SHAPE:TOKENS")
    parser.add_argument("--card", type=int, default=4096, help="MiB")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--uncapped", action="store_true")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.setdefault("PYTORCH_ALLOC_CONF", FIXED_SEGMENTS)
    from memory import folder_of

    asked = [(shape, int(tokens)) for shape, tokens in (run.split(":") for run in arguments.runs)]
    for shape in dict(asked):
        if not folder_of(shape).exists():
            subprocess.run([sys.executable, str(MAKE), "make", shape], check=True)
    with tempfile.TemporaryDirectory() as temporary:
        for card in (arguments.card, None) if arguments.uncapped else (arguments.card,):
            for shape, tokens in asked:
                print(json.dumps(measure(shape, tokens, arguments.steps, card, Path(temporary))), flush=True)


if __name__ == "__main__":
    main()
