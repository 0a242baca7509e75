"""The command `forecast`: how much memory a profile needs, whether it fits, and what would reduce it."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput
from codex_tui.commands.options import add_set_option

if TYPE_CHECKING:
    from training.memory.disk import DiskNeed
    from training.memory.forecast import Forecast, Remedy

NAMES = {"weights": "weights", "lora": "LoRA", "optimizer": "optimizer", "activations": "activations",
         "loss_head": "loss head", "context": "CUDA context"}  # fmt: skip
SMALLEST, LARGEST = 256, 10_000_000
SAYS = {"fits": "✓ fits", "tight": "~ tight", "no": "✗ does not fit"}


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "forecast",
        help="forecast how much memory a profile needs, and whether it fits",
        description="Counts the GPU memory that a fine-tune needs, part by part, before anything is loaded. If it does "
        "not fit, lists what would reduce it. Exits with 1 if it does not fit, with 2 if no forecast is possible.",
    )
    parser.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
    parser.add_argument(
        "--card", metavar="MIB", type=int, help="forecast for a card of this size, in MiB, instead of this machine's"
    )
    add_set_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_forecast)


def run_forecast(args: argparse.Namespace) -> int:
    from codex_tui.machine import forecast
    from codex_tui.profiles.library import find_profile, require_profile
    from codex_tui.profiles.overrides import parse_overrides

    if args.card is not None and not SMALLEST <= args.card <= LARGEST:
        raise BadInput(f"--card takes {SMALLEST:,} to {LARGEST:,} MiB.", "Use --card 4096 for a 4 GB card.")
    path = find_profile(args.profile)
    profile = require_profile(path, parse_overrides(args.set))
    here = forecast.card(profile.hardware.device)
    size = args.card or (here.total_mib if here else None)
    found = forecast.of(profile, path, size)
    if isinstance(found, forecast.NoForecast):
        raise BadInput(found.reason)
    remedies = forecast.remedies_of(profile, path, size) if found.verdict in ("tight", "no") else []
    disk, free = forecast.disk_of(profile, path), forecast.disk_free_mib()
    if args.json:
        told = {"disk_mib": disk and round(disk.total_mib, 1), "disk_free_mib": round(free)}
        print(json.dumps(_as_json(found, remedies) | told, indent=2))
    else:
        for line in [*_lines(found, remedies), *(_disk_lines(disk, free) if disk else [])]:
            print(line)
    return FAILED if found.verdict == "no" else DONE


def _as_json(found: Forecast, remedies: list[Remedy]) -> dict[str, Any]:
    return {
        "components": {name: round(mib, 1) for name, mib in found.components.items()},
        "reserved_mib": round(found.reserved_mib, 1),
        "device_mib": round(found.device_mib, 1),
        "card_mib": found.card_mib,
        "limit_mib": found.limit_mib,
        "display_reserve_mib": found.display_mib,
        "fits": None if found.verdict is None else found.verdict != "no",
        "verdict": found.verdict,
        "offload_layers": found.offload_layers,
        "measured_here": found.measured,
        "remedies": [
            {"field": r.field, "value": r.value, "frees_mib": r.frees_mib, "fits": r.fits, "cost": r.cost}
            for r in remedies
        ],
    }


def _disk_lines(need: DiskNeed, free: float) -> list[str]:
    from codex_tui.base.text import pluralize

    full = " ✗ The disk would fill up." if need.total_mib >= free else ""
    return [
        f"Disk: needs {need.total_mib:,.0f} MiB, {need.checkpoint_mib:,.0f} for each of"
        f" {pluralize(need.checkpoints, 'checkpoint')}; {free:,.0f} MiB are free.{full}"
    ]


def _lines(found: Forecast, remedies: list[Remedy]) -> list[str]:
    from codex_tui.base.text import pluralize
    from codex_tui.profiles.literals import format_literal

    rows = [(NAMES[name], mib) for name, mib in found.components.items()]
    rows += [("GPU memory at the peak", found.device_mib)]
    if found.limit_mib is not None:
        rows += [("limit", found.limit_mib)]
    lines = [f"{name:<24}{mib:>8,.0f} MiB" for name, mib in rows]
    if found.offload_layers:
        lines.append(f"Kept in host memory: {pluralize(found.offload_layers, 'layer')}.")
    if found.measured:
        lines.append("Measured here: corrected by the last probe of this profile on this card.")
    if found.verdict is None:
        lines.append("No GPU found to compare with. Use --card 4096 for a 4 GB card.")
        return lines
    left = (found.limit_mib or 0) - found.device_mib
    lines.append(f"{SAYS[found.verdict]}: {abs(left):,.0f} MiB {'free' if left >= 0 else 'too much'}.")
    if remedies:
        lines.append("Any one of these reduces it:")
    for remedy in remedies:
        enough = "✓" if remedy.fits else " "
        option = shlex.quote(f"{remedy.field}={format_literal(remedy.value)}")
        lines.append(f"  {enough} {remedy.frees_mib:>6,.0f} MiB  --set {option}  (costs {remedy.cost})")
    return lines
