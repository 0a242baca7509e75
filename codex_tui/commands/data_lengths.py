"""The command `data lengths`: what each max_seq_length keeps of a dataset, and what it costs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, BadInput
from codex_tui.commands.options import add_card_option, add_dataset, check_card

if TYPE_CHECKING:
    from codex_tui.data.length_options import LengthOption, LengthOptions
    from codex_tui.data.target import Target

HEADINGS = ("length", "whole rows", "answers cut", "answers lost", "learned tokens", "GPU MiB", "epoch")
VERDICTS = {"fits": "✓", "tight": "~", "no": "✗"}
FATES = {"cut": "are cut", "drop": "are left out", "refuse": "refuse the run"}


def add(actions: Any) -> None:
    parser = actions.add_parser(
        "lengths",
        help="compare every max_seq_length: rows, answers, memory and time",
        description="Shows for each max_seq_length how many rows stay whole, how many answers are cut or lost, how many"
        " tokens an epoch learns, how much GPU memory the run needs, and how long an epoch takes: at the speed of the "
        "last run with this model on this card, else as an estimated range. Marks the profile's own length and the "
        "longest that fits.",
    )
    add_dataset(parser)
    parser.add_argument(
        "--long-rows", choices=("cut", "drop"), help="cut longer rows, or leave them out (default: as in the profile)"
    )
    add_card_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_lengths)


def run_lengths(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.data.check import check_dataset
    from codex_tui.data.length_options import compare_lengths
    from codex_tui.data.target import Target
    from codex_tui.machine.forecast import forecast_lengths
    from codex_tui.profiles.library import find_profile

    check_card(args.card)
    if not args.profile:
        raise BadInput("No profile is named, and the profile names the model that counts tokens.", "Add --profile P.")
    path: Path = find_profile(args.profile)
    with print_progress() as report:
        target = Target.from_profile(path, args.files, None, report)
        result = check_dataset(target, report)
    if result.token_error:
        raise result.token_error
    if result.lengths is None:
        raise BadInput(f"{target.source.name} has no row that can be used.", "See why: codex-tui data check FILE")
    profile = target.settings
    if args.long_rows:
        profile = profile.with_value("dataset.long_rows", args.long_rows)
    choice = compare_lengths(result.scan, result.lengths, profile, result.speed)
    choice = choice.with_memory(forecast_lengths(profile, path, choice.lengths, args.card))
    if args.json:
        print(json.dumps(_as_json(choice), indent=2))
        return DONE
    for line in _lines(choice, target):
        print(clean(line))
    return DONE


def _as_json(choice: LengthOptions) -> dict[str, Any]:
    first, speed = choice.options[0], choice.tokens_per_second
    overview, memory = first.overview, first.memory
    return {
        "rows": overview.rows,
        "kept": overview.kept,
        "longest": overview.tokens and overview.tokens.max,
        "answers": overview.answers,
        "long_rows": choice.long_rows,
        "max_seq_length": choice.own_length,
        "longest_that_fits": choice.longest_fitting,
        "card_mib": memory and memory.card_mib,
        "limit_mib": choice.limit_mib,
        "no_forecast": choice.no_memory or None,
        "tokens_per_second": speed and round(speed, 1),
        "lengths": [_option_as_json(option) for option in choice.options],
    }


def _option_as_json(option: LengthOption) -> dict[str, Any]:
    overview, memory = option.overview, option.memory
    return {
        "max_seq_length": option.max_seq_length,
        "whole_rows": option.whole_rows,
        "answers_cut": overview.answers_cut,
        "answers_lost": overview.answers_lost,
        "learned_tokens": overview.learned_tokens,
        "forecast_mib": memory and round(memory.device_mib, 1),
        "fits": option.fits,
        "seconds_per_epoch": overview.seconds_per_epoch and round(overview.seconds_per_epoch, 1),
        "estimated_seconds_per_epoch": _range_as_json(option),
    }


def _range_as_json(option: LengthOption) -> dict[str, float] | None:
    if option.epoch_seconds is None or option.overview.seconds_per_epoch is not None:
        return None
    shortest, longest = option.epoch_seconds
    return {"low": round(shortest, 1), "high": round(longest, 1)}


def _lines(choice: LengthOptions, target: Target) -> Iterator[str]:
    """The lines for a person. Clean each before you print it: it may hold any text."""
    from codex_tui.base.text import pluralize

    overview, long_rows, speed = choice.options[0].overview, choice.long_rows, choice.tokens_per_second
    yield (
        f"{target.source.name}: {pluralize(overview.kept, 'row')} with {pluralize(overview.answers or 0, 'answer')}. "
        f'Longer rows {FATES[long_rows]} (dataset.long_rows = "{long_rows}").'
    )
    table = [HEADINGS, *(_cells(option) for option in choice.options)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    places = ["", *(option.max_seq_length for option in choice.options)]
    for place, row in zip(places, table, strict=True):
        mark = "▸" if place == choice.own_length else " "
        yield f"{mark} {'  '.join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))}".rstrip()
    yield f"▸ is {target.profile_name}'s own length."
    yield _explain_fit(choice)
    if choice.first_whole:
        yield f"Every row is whole from {choice.first_whole:,} on."
    if choice.has_estimated_time:
        yield "The time of an epoch is estimated for this card. The first run with this model here measures it."
    elif speed is None:
        yield "The time of an epoch is not known: no run with this model on this device has logged a few steps yet."
    else:
        yield f"Epochs are at {speed:,.0f} tokens/s, the speed of the last run with this model here."


def _explain_fit(choice: LengthOptions) -> str:
    if choice.no_memory:
        return f"GPU memory is not known: {choice.no_memory}"
    if choice.limit_mib is None:
        return "No GPU is here to compare the memory with. Use --card 4096 for a 4 GB card."
    if choice.longest_fitting is None:
        return f"None of these lengths fits into {choice.limit_mib:,.0f} MiB."
    return f"{choice.longest_fitting:,} is the longest of them that fits into {choice.limit_mib:,.0f} MiB."


def _cells(option: LengthOption) -> tuple[str, ...]:
    from codex_tui.base.text import format_duration_range

    overview, memory = option.overview, option.memory
    gpu = f"{memory.device_mib:,.0f} {VERDICTS.get(memory.verdict or '', '')}".strip() if memory else "?"
    counts = (option.whole_rows, overview.answers_cut or 0, overview.answers_lost or 0, overview.learned_tokens or 0)
    return (
        f"{option.max_seq_length:,}",
        *(f"{count:,}" for count in counts),
        gpu,
        format_duration_range(*option.epoch_seconds) if option.epoch_seconds else "?",
    )
