"""A judgement as JSON for scripts, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from codex_tui.judge.conclusions import describe_proof, describe_verdicts
from codex_tui.judge.results import list_main_groups
from codex_tui.judge.table import GAP, UNKNOWN, align, format_pair, format_right, format_wins
from training.contract.judge_messages import RowLosses
from training.contract.judgement import BASE, Difference, Group, Judgement

HEADINGS = ("", "N", "PASS", "DIFFERENCE", "WIN/LOSS/TIE", "CHRF", "LOSS")
WITHOUT_MARKS = ("", "N", "EXACT", "CHRF BY", "WIN/LOSS/TIE", "CHRF", "LOSS")
"""The headings where no question has conditions: chrF then decides."""


def format_json(judgement: Judgement, path: Path) -> dict[str, Any]:
    other = BASE if judgement.against.name == BASE else "other"
    return {
        "run": judgement.run,
        "against": judgement.against.name,
        "model": judgement.base,
        "book": judgement.book.name,
        "file": str(path),
        **_group_as_json(judgement.overall, other),
        "known": judgement.known and _group_as_json(judgement.known, other),
        "unseen": judgement.unseen and _group_as_json(judgement.unseen, other),
        "tags": {tag: _group_as_json(group, other) for tag, group in judgement.tags.items()},
        "judge_model": judgement.judge_model and msgspec.to_builtins(judgement.judge_model),
        "proof": msgspec.to_builtins(judgement.proof),
        "conclusions": judgement.conclusions,
        "notes": judgement.notes,
    }


def _group_as_json(group: Group, other: str) -> dict[str, Any]:
    main = group.main
    return {
        "questions": group.questions,
        "adapter": msgspec.to_builtins(group.adapter),
        other: msgspec.to_builtins(group.other),
        "differences": {
            # Passes are counted; the estimate and the interval are those of the count.
            "passes": group.passes and _scale(group.passes, group.adapter.marked),
            "chrf": group.chrf and msgspec.to_builtins(group.chrf),
            "loss": group.loss and msgspec.to_builtins(group.loss),
        },
        "wins": main.wins if main else 0,
        "losses": main.losses if main else 0,
        "ties": main.ties if main else 0,
    }


def _scale(difference: Difference, count: int) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(difference)
    return values | {key: round(values[key] * count, 6) for key in ("estimate", "low", "high")}


def format_report(judgement: Judgement, path: Path) -> Iterator[str]:
    """The lines for a person. Clean each before you print it: it may hold any text."""
    yield f"{judgement.run} against {judgement.against.name}, with the questions of {judgement.book.name}"
    yield from judgement.conclusions
    yield ""
    yield from _format_table(judgement)
    if judgement.notes:
        yield ""
        yield from judgement.notes
    yield ""
    if judgement.judge_model:
        yield from describe_verdicts(judgement.judge_model)
    yield describe_proof(judgement.proof)
    yield f"All answers: {path}"


def _format_table(judgement: Judgement) -> Iterator[str]:
    groups = list_main_groups(judgement) | {f"*{tag}*": group for tag, group in judgement.tags.items()}
    headings = HEADINGS if judgement.overall.passes else WITHOUT_MARKS
    columns = [*zip(headings, *(_list_cells(name, group) for name, group in groups.items()), strict=True)]
    for row in align(columns, [max(map(len, column)) for column in columns]):
        yield (" " * GAP).join(row).rstrip()


def _list_cells(name: str, group: Group) -> tuple[str, ...]:
    ours, theirs = group.adapter, group.other
    return (
        name[:24],
        f"{group.questions:,}",
        format_right(group),
        _format_difference(group),
        format_wins(group.main),
        format_pair(theirs.chrf, ours.chrf),
        format_pair(theirs.loss, ours.loss, 2),
    )


def _format_difference(group: Group) -> str:
    difference, count = group.main, group.adapter.marked if group.passes else 1
    if difference is None:
        return UNKNOWN
    estimate, low, high = (round(value * count) for value in (difference.estimate, difference.low, difference.high))
    return f"{estimate:+} ({low:+} to {high:+})".replace("-", "−")


def format_rows_json(run: str, rows: Sequence[RowLosses], path: Path) -> dict[str, Any]:
    return {
        "run": run,
        "file": str(path),
        "rows": [
            {
                "file": row.file,
                "line": row.line,
                "held_out": row.held_out,
                "tokens": row.adapter.tokens,
                "adapter_loss": round(row.adapter.per_token, 6),
                "base_loss": round(row.base.per_token, 6),
                "question": row.question,
                "answer": row.answer,
            }
            for row in rows
        ],
    }


def format_rows(run: str, rows: Sequence[RowLosses], path: Path, limit: int | None) -> Iterator[str]:
    """The lines for a person. Clean each before you print it: it may hold any text."""
    from codex_tui.base.text import pluralize, shorten

    trained = [row.adapter for row in rows if not row.held_out]
    held_out = [row.adapter for row in rows if row.held_out]
    yield f"{run}: {pluralize(len(rows), 'row')}, the worst-learned first. Loss per token: base → adapter."
    for name, losses in (("training", trained), ("held-out", held_out)):
        if losses:
            mean = sum(loss.total for loss in losses) / max(1, sum(loss.tokens for loss in losses))
            yield f"{pluralize(len(losses), f'{name} row')}: {mean:.3f} on average."
    yield ""
    for row in rows[:limit]:
        place = f"{row.file} line {row.line}".strip()
        mark = " held out" if row.held_out else ""
        losses_shown = f"{row.base.per_token:6.2f} → {row.adapter.per_token:5.2f}"
        yield f"{losses_shown}  {place}{mark}: {shorten(row.question, 60)} | {shorten(row.answer, 80)}"
    rest = len(rows) - len(rows[:limit])
    yield ""
    if rest:
        yield f"{pluralize(rest, 'row')} more: add --all, or --json. All of them: {path}"
    else:
        yield f"All of them: {path}"
