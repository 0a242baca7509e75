"""A judgement as JSON for scripts, and as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from training.contract.judge_messages import RowMeasured
from training.contract.judgement import BASE, Difference, Group, Judgement, Level

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
    yield _format_proof(judgement)
    yield f"All answers: {path}"


def _format_table(judgement: Judgement) -> Iterator[str]:
    groups = {"all": judgement.overall}
    if judgement.known:
        groups["known by heart"] = judgement.known
    if judgement.known and judgement.unseen:
        groups["unseen"] = judgement.unseen
    groups |= {f"*{tag}*": group for tag, group in judgement.tags.items()}
    headings = HEADINGS if judgement.overall.passes else WITHOUT_MARKS
    rows = [headings, *(_list_cells(name, group) for name, group in groups.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings))]
    for row in rows:
        first, *rest = (cell.ljust(width) if not place else cell.rjust(width)
                        for place, (cell, width) in enumerate(zip(row, widths, strict=True)))  # fmt: skip
        yield "  ".join((first, *rest)).rstrip()


def _list_cells(name: str, group: Group) -> tuple[str, ...]:
    main = group.main
    return (
        name[:24],
        f"{group.questions:,}",
        _format_counts(group),
        _format_difference(group),
        f"{main.wins}/{main.losses}/{main.ties}" if main else "–",
        _format_levels(group, "chrf", 0),
        _format_levels(group, "loss", 2),
    )


def _format_counts(group: Group) -> str:
    if group.adapter.marked:
        return f"{group.other.passes:,} → {group.adapter.passes:,}"
    return f"{group.other.exact:,} → {group.adapter.exact:,}" if group.adapter.referenced else "–"


def _format_difference(group: Group) -> str:
    difference, count = group.main, group.adapter.marked if group.passes else 1
    if difference is None:
        return "–"
    estimate, low, high = (round(value * count) for value in (difference.estimate, difference.low, difference.high))
    return f"{estimate:+} ({low:+} to {high:+})".replace("-", "−")


def _format_levels(group: Group, name: str, digits: int) -> str:
    values = [_read(level, name) for level in (group.other, group.adapter)]
    return "–" if None in values else " → ".join(f"{value:.{digits}f}" for value in values)


def _read(level: Level, name: str) -> float | None:
    value: float | None = getattr(level, name)
    return value


def _format_proof(judgement: Judgement) -> str:
    proof = judgement.proof
    if proof.off is None:
        return f"Proof that two adapters answered: their logits differ by {proof.on:.3g}."
    return (
        f"Proof that base answered without the adapter: its logits differ by {proof.off:.3g} from those before the "
        f"adapter was loaded, and by {proof.on:.3g} from the adapter's."
    )


def format_rows_json(run: str, rows: Sequence[RowMeasured], path: Path) -> dict[str, Any]:
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


def format_rows(run: str, rows: Sequence[RowMeasured], path: Path, limit: int | None) -> Iterator[str]:
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
