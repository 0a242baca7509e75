"""The command `forecast`: how much memory a profile needs, whether it fits, what would reduce it, and its speed."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput
from codex_tui.commands.options import (
    add_card_option,
    add_place_option,
    add_set_option,
    add_until_option,
    check_card,
    read_place,
)

if TYPE_CHECKING:
    from pathlib import Path

    from codex_tui.data.time_fit import TimeFit
    from codex_tui.machine.forecast import Card, ResourceForecast
    from training.contract.profile import Profile
    from training.memory.forecast import Forecast
    from training.memory.pass_size import LargerPasses
    from training.memory.remedies import Remedy
    from training.memory.speed import Speed

MAX_HOURS = 10_000
UNKNOWN_FIT = "how many steps fit is not known before the first run with this model here."
NAMES = {"weights": "weights", "lora": "LoRA", "optimizer": "optimizer", "activations": "activations",
         "loss_head": "loss head", "context": "CUDA context"}  # fmt: skip
VERDICTS = {"fits": "✓ fits", "tight": "~ tight", "no": "✗ does not fit"}


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "forecast",
        help="forecast how much memory a profile needs, whether it fits, and how fast it trains",
        description="Counts the GPU memory that a fine-tune needs, part by part, before anything is loaded. If it does "
        "not fit, lists what would reduce it. Gives the speed that is measured here or estimated for the card. A "
        "remote is asked for its cards; a cluster is not, so give the size of its card with --card. Exits with 1 if it "
        "does not fit, with 2 if no forecast is possible.",
    )
    parser.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
    add_card_option(parser)
    add_place_option(parser, "forecast for the card of another place")
    add_set_option(parser)
    add_until_option(parser, "say how many steps fit until 07:00 (the next one), '2026-11-29 07:00' or +6h")
    parser.add_argument("--hours", metavar="N", type=float, help="say how many steps fit into N hours")
    parser.add_argument("--dataset", metavar="DATA", help="the rows for --until and --hours (default: the profile's)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_forecast)


def run_forecast(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.data.duration import find_speed
    from codex_tui.data.speed import find_last_speed_on
    from codex_tui.engines.ssh.remote.remotes import find_remote
    from codex_tui.machine.forecast import forecast_resources
    from codex_tui.profiles.library import find_profile, require_profile
    from codex_tui.profiles.overrides import parse_overrides

    check_card(args.card)
    path, overrides = find_profile(args.profile), parse_overrides(args.set)
    place = read_place(args, overrides)
    profile = require_profile(path, overrides | place)
    if remote := place.get("launch.ssh.remote"):
        find_remote(remote)
    card, unknown = (None, "") if args.card else _find_remote_card(profile)
    resources = forecast_resources(profile, path, args.card, remote_card=card)
    deadline, memory = _find_deadline(args, profile), resources.memory
    if memory is None and deadline is None:
        raise BadInput(resources.reason, resources.unknown_modules.hint if resources.unknown_modules else "")
    last_speed = find_last_speed_on(resources.card, resources.resolved, path)
    speed = find_speed(resources, profile.model.max_seq_length, last_speed)
    fit = None if deadline is None else _forecast_fit(args, profile, path, resources, deadline)
    if args.json:
        values = _memory_json(memory, resources.remedies) if memory else {}
        fit_values = {} if deadline is None else {"time": fit and fit.as_json()}
        card_name = resources.card.name if resources.card else None
        values |= {"place": resources.place, "card_name": card_name, "card_unknown": unknown}
        values |= {"larger_passes": resources.larger_passes and _passes_json(resources.larger_passes)}
        print(json.dumps(values | _disk_json(resources) | _speed_json(speed) | fit_values, indent=2))
    else:
        for line in [
            *([_describe_place(resources, args.card, unknown)] if resources.place else []),
            *(_memory_lines(memory, resources.remedies) if memory else [clean(resources.reason)]),
            *([_describe_passes(resources.larger_passes)] if resources.larger_passes else []),
            *_disk_lines(resources),
            _speed_line(resources, speed),
            *([] if deadline is None else [f"Time: {fit.describe() if fit else UNKNOWN_FIT}"]),
        ]:
            print(line)
    return FAILED if memory and memory.fits is False else DONE


def _find_remote_card(profile: Profile) -> tuple[Card | None, str]:
    """Return the card on which a remote trains the profile, and why it is not known, in one sentence."""
    from codex_tui.base.errors import CodexError
    from codex_tui.base.progress import Progress
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.ssh.remote.cards import find_card

    if profile.launch.is_local or profile.hardware.first_device == "cpu":
        return None, ""
    if profile.launch.engine != "ssh":
        return None, "A cluster has several kinds of cards."
    remote = profile.launch.ssh.remote or ""
    try:
        with print_progress() as report:
            report(Progress(f"asking {remote} for its cards"))
            return find_card(remote, profile), ""
    except CodexError as error:
        return None, error.message


def _describe_place(resources: ResourceForecast, card_mib: float | None, unknown: str) -> str:
    from codex_tui.base.text import clean, format_gb

    text = f"Trains on: {clean(resources.place)}."
    if card_mib:
        return text
    if card := resources.card:
        free = f"{format_gb(card.free_mib, 1)} free now"
        return f"{text} Its card: {clean(card.name)}, {format_gb(card.total_mib, 1)}, {free}."
    return f"{text} Its cards are not known here: --card 24576 compares with one of 24 GB. {clean(unknown)}".rstrip()


def _find_deadline(args: argparse.Namespace, profile: Profile) -> float | None:
    """Return the time until which steps are counted: by the options, or by the profile's hours if its rows are known.
    Raises BadInput for a wrong time."""
    import time

    from codex_tui.base.deadline import parse_deadline
    from codex_tui.data.time_fit import find_deadline

    if args.hours is not None and not 0 < args.hours <= MAX_HOURS:
        raise BadInput(f"--hours takes a number above 0 and up to {MAX_HOURS:,}.", "Use --hours 8 for a night.")
    limits = [parse_deadline(args.until)] if args.until is not None else []
    limits += [time.time() + 3600 * args.hours] if args.hours is not None else []
    if not limits and not args.dataset and not profile.dataset.path:
        return None
    return find_deadline(profile, min(limits, default=None))


def _forecast_fit(
    args: argparse.Namespace, profile: Profile, path: Path, resources: ResourceForecast, deadline: float
) -> TimeFit | None:
    """Forecast what fits until `deadline`. Returns None if no speed is known, raises BadInput if the rows are not."""
    from codex_tui.data import sources
    from codex_tui.data.run_time import estimate_time_fit

    source = sources.find_profile_source(profile, path, args.dataset)
    rows, validation_rows = sources.check_rows(source, profile.dataset)
    return estimate_time_fit(profile, path, source, rows, validation_rows, resources, deadline)


def _memory_json(memory: Forecast, remedies: list[Remedy]) -> dict[str, Any]:
    return {
        "components": {name: round(mib, 1) for name, mib in memory.components.items()},
        "reserved_mib": round(memory.reserved_mib, 1),
        "device_mib": round(memory.device_mib, 1),
        "card_mib": memory.card_mib,
        "limit_mib": memory.limit_mib,
        "display_reserve_mib": memory.display_mib,
        "fits": memory.fits,
        "verdict": memory.verdict,
        "offload_layers": memory.offload_layers,
        "measured_here": memory.measured,
        "remedies": [
            {
                "field": r.field,
                "value": r.value,
                "frees_mib": r.frees_mib,
                "fits": r.fits,
                "cost": r.cost,
                "longer": r.longer and {"low": round(r.longer[0], 3), "high": round(r.longer[1], 3)},
            }
            for r in remedies
        ],
    }


def _passes_json(passes: LargerPasses) -> dict[str, Any]:
    low, high = passes.saved
    return {
        "rows": passes.rows,
        "instead_of": passes.instead_of,
        "needs_mib": passes.needs_mib,
        "saved": {"low": round(low, 3), "high": round(high, 3)},
    }


def _describe_passes(passes: LargerPasses) -> str:
    from codex_tui.base.text import format_gb

    return (
        f"Passes: {passes.rows} rows instead of {passes.instead_of}, because they fit and take {passes.time}; they "
        f"need {format_gb(passes.needs_mib)} of the memory above. A step has the same rows."
    )


def _disk_json(resources: ResourceForecast) -> dict[str, Any]:
    disk = resources.disk
    return {"disk_mib": disk and round(disk.total_mib, 1), "disk_free_mib": round(resources.disk_free_mib)}


def _disk_lines(resources: ResourceForecast) -> list[str]:
    from codex_tui.base.text import format_gb, pluralize

    disk = resources.disk
    if disk is None:
        return []
    full = " ✗ The disk would fill up." if resources.fills_disk else ""
    return [
        f"Disk: needs {format_gb(disk.total_mib)}, {format_gb(disk.checkpoint_mib)} for each of"
        f" {pluralize(disk.checkpoints, 'checkpoint')}; {format_gb(resources.disk_free_mib, 1)} are free.{full}"
    ]


def _speed_json(speed: Speed | None) -> dict[str, Any]:
    if speed is None:
        return {"tokens_per_second": None}
    low, high = round(speed.slow, 1), round(speed.fast, 1)
    return {"tokens_per_second": {"low": low, "high": high, "measured_here": speed.measured}}


def _speed_line(resources: ResourceForecast, speed: Speed | None) -> str:
    from codex_tui.base.text import clean

    where = "there" if resources.place else "here"
    if speed is None:
        return f"Speed: not known before the first run with this model {where}."
    if speed.measured:
        return f"Speed: {speed.fast:,.0f} tokens/s in the last run with this model {where}."
    card = clean(resources.card.name) if resources.card else ""
    return f"Speed: {speed.slow:,.0f} to {speed.fast:,.0f} tokens/s in rows of full length, estimated for {card}."


def _memory_lines(memory: Forecast, remedies: list[Remedy]) -> list[str]:
    from codex_tui.base.text import pluralize
    from codex_tui.base.toml import format_literal

    rows = [(NAMES[name], mib) for name, mib in memory.components.items()]
    rows += [("GPU memory at the peak", memory.device_mib)]
    if memory.limit_mib is not None:
        rows += [("limit", memory.limit_mib)]
    lines = [f"{name:<24}{mib:>8,.0f} MiB" for name, mib in rows]
    if memory.cards > 1:
        lines.append(f"Each of the {memory.cards} cards needs this.")
    if memory.offload_layers:
        lines.append(f"Kept in host memory: {pluralize(memory.offload_layers, 'layer')}.")
    if memory.measured:
        lines.append("Measured here: corrected by the last probe of this profile on this card.")
    if memory.verdict is None:
        lines.append("No GPU found to compare with. Use --card 4096 for a 4 GB card.")
        return lines
    left = (memory.limit_mib or 0) - memory.device_mib
    lines.append(f"{VERDICTS[memory.verdict]}: {abs(left):,.0f} MiB {'free' if left >= 0 else 'too much'}.")
    if remedies:
        timed = any(remedy.longer for remedy in remedies)
        lines.append(f"Any one of these reduces it{' (times are estimates for rows of full length)' if timed else ''}:")
    for remedy in remedies:
        enough = "✓" if remedy.fits else " "
        option = shlex.quote(f"{remedy.field}={format_literal(remedy.value)}")
        lines.append(f"  {enough} {remedy.frees_mib:>6,.0f} MiB  --set {option}  ({remedy.price})")
    return lines
