"""The output of `data check`: lines for a person, JSON for a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

from codex_tui.base.text import format_percent, pluralize

if TYPE_CHECKING:
    from codex_tui.data.check import CheckResult
    from codex_tui.data.duration import Duration
    from codex_tui.data.overview import Overview

PROBLEMS_SHOWN = 10
COLUMNS_SHOWN = 12
SHAPES = {
    "instruction": "instruction and response",
    "prompt_completion": "prompt and completion",
    "messages": "messages with roles (OpenAI)",
    "conversations": "conversations with from and value (ShareGPT)",
    "text": "plain text, all of it learned",
}
LOST, REFUSED = "no answer is left before the cut", "the chat template refuses it"


def as_json(result: CheckResult, out: TextIO) -> None:
    judged, overview, reading = result.target.profile is not None, result.overview, result.scan.reading
    duplicates = overview.duplicates
    document: dict[str, Any] = {
        "files": [str(path) for path in result.target.source.train_files],
        "eval_files": [str(path) for path in result.target.source.eval_files],
        "left_out": [{"file": str(left.path), "reason": left.reason} for left in result.target.source.left_out],
        "rows": overview.rows,
        "kept": overview.kept,
        "bad": list(_bad(result)),
        "columns": {"used": list(reading.used), "ignored": list(reading.ignored)},
        "shape": reading.shape,
        "tokens": asdict(overview.tokens) if overview.tokens else None,
        "truncated": overview.truncated,
        "answers": overview.answers,
        "answers_cut": overview.answers_cut,
        "answers_lost": overview.answers_lost,
        "learned_tokens": overview.learned_tokens,
        "duplicates": {
            "exact": duplicates.exact,
            "near": duplicates.near,
            "overlap": duplicates.overlap if judged else None,
        },
        "train_sequences": overview.train_sequences if judged else None,
        "steps_per_epoch": overview.steps_per_epoch if judged else None,
        "passes": overview.passes and {name: round(value, 3) for name, value in overview.passes._asdict().items()},
        "seconds_per_epoch": overview.seconds_per_epoch and round(overview.seconds_per_epoch, 1),
        "duration": _duration_as_json(result.duration),
        "warnings": [{"message": warned.message, "remedy": warned.remedy} for warned in _warnings(result)],
        "skipped": _skipped(overview),
    }
    json.dump(document, out, indent=2)
    out.write("\n")


def _bad(result: CheckResult) -> Iterator[dict[str, Any]]:
    for problem in result.bad():
        file = result.target.source.label(problem.file)
        yield {**({"file": file} if file else {}), "line": problem.line, "reason": problem.message}


def _skipped(overview: Overview) -> dict[str, int]:
    """Count the rows that are not used for training, by reason."""
    more = {LOST: overview.dropped_rows, REFUSED: overview.refused}
    return {**overview.reasons, **{reason: rows for reason, rows in more.items() if rows}}


def _warnings(result: CheckResult) -> list[Any]:
    from codex_tui.data.advice import Advice, advise_on_rows

    if result.target.profile is None:
        return list(advise_on_rows(result.overview, result.scan))
    if result.token_error is None:
        return list(result.warnings)
    error = result.token_error
    return [Advice(f"Token counts are not available: {error.message.rstrip('.')}.", error.hint), *result.warnings]


def lines(result: CheckResult) -> Iterator[str]:
    """The lines for a person. Clean each before you print it: it may hold any text."""
    overview, source = result.overview, result.target.source
    bad = overview.rows - overview.kept
    yield f"{source.name}: {pluralize(overview.rows, 'row')}, {overview.kept:,} kept, {bad:,} bad"
    if len(source.files) > 1 or source.left_out:
        yield f"  files read: {_some([*map(source.shorten, source.train_files)])}"
    if merging := source.describe_merging():
        yield f"  {merging}"
    if source.eval_files:
        yield f"  only for the evaluation: {_some([*map(source.shorten, source.eval_files)])}"
    for reason, names in source.group_left_out().items():
        yield f"  left out ({reason}): {_some(names)}"
    for problem in islice(result.bad(), PROBLEMS_SHOWN):
        file = source.label(problem.file)
        yield f"  {f'{file}, ' * bool(file)}line {problem.line}: {problem.message}"
    if bad > PROBLEMS_SHOWN:
        yield f"  and {bad - PROBLEMS_SHOWN:,} more; --json lists all of them"
        yield from (f"  {rows:>8,} {reason}" for reason, rows in overview.reasons.items())
    if not overview.kept:
        yield '  No row can be used. A row looks like this: {"instruction": "…", "response": "…"}.'
        return
    yield from (f"{name:<11} {text}" for name, text in _figures(result) if text)
    for warned in _warnings(result):
        yield f"! {warned.message}"
        if warned.remedy:
            yield f"  → {warned.remedy}"


def _figures(result: CheckResult) -> Iterator[tuple[str, str]]:
    reading, overview = result.scan.reading, result.overview
    yield "shape", SHAPES.get(reading.shape or "", "")
    yield "columns", f"{_some(reading.used)} used" + (f"; {_some(reading.ignored)} ignored" if reading.ignored else "")
    yield "duplicates", _duplicates(result)
    profile = result.target.profile
    if profile is None:
        return
    if overview.tokens:
        yield "tokens", "  ".join(f"{name} {count:,}" for name, count in asdict(overview.tokens).items())
        limit = profile.model.max_seq_length
        fate = "left out" if profile.dataset.long_rows == "drop" else "cut"
        answers = f"; {pluralize(overview.answers_lost or 0, 'answer')} lost, {overview.answers_cut:,} cut short"
        yield (
            fate,
            (
                f"{pluralize(overview.truncated or 0, 'row')} at max_seq_length = {limit:,}"
                f"{answers if overview.truncated else ''}"
            ),
        )
        learned = f"{overview.learned_tokens:,} of {overview.train_tokens:,} tokens an epoch"
        yield "learned", f'{learned}; dataset.learn = "{profile.dataset.learn}"'
        if overview.train_sequences > overview.train_rows:
            yield "sequences", f"{overview.train_sequences:,}, because the chat template changes earlier answers"
    yield "split", f"{pluralize(overview.train_rows, 'row')} for training, {overview.eval_rows:,} for evaluation"
    most = "" if overview.tokens else "at most "
    yield "steps", f"{most}{overview.steps_per_epoch:,} an epoch, {overview.total_steps:,} in total"
    yield "time", _time(result)
    if passes := overview.passes:
        yield "packing", f"{passes.per_step:.1f} passes a step, {format_percent(passes.fill)} of each filled with rows"


def _duration_as_json(duration: Duration | None) -> dict[str, Any] | None:
    if duration is None:
        return None
    low, high = round(duration.shortest, 1), round(duration.longest, 1)
    return {"low_seconds": low, "high_seconds": high, "measured_here": duration.speed.measured}


def _duplicates(result: CheckResult) -> str:
    duplicates = result.overview.duplicates
    near = "near-duplicates" if duplicates.near_counted else "with the same words (too many rows for a closer search)"
    text = f"{duplicates.exact:,} identical, {duplicates.near:,} {near}"
    if result.target.profile is not None:
        text += f"; {pluralize(duplicates.overlap, 'evaluation row')} also in training"
    return text


def _time(result: CheckResult) -> str:
    """How long the run will take; "" if no speed is known."""
    from codex_tui.base.text import format_duration_range

    duration = result.duration
    if duration is None:
        return ""
    epoch = f"{format_duration_range(*duration.epoch)} an epoch"
    if duration.speed.measured:
        return f"{epoch} at the {duration.speed.fast:,.0f} tokens/s of the last run with this model here"
    total = format_duration_range(duration.shortest, duration.longest)
    return f"{total} in total, {epoch}: estimated for this card"


def _some(names: Any) -> str:
    more = len(names) - COLUMNS_SHOWN
    return ", ".join(names[:COLUMNS_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
