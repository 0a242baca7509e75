"""The table of a judgement: a row for each group of questions, and as many columns as the width has room for."""

from __future__ import annotations

from collections.abc import Sequence

from codex_tui.judge.results import list_groups
from training.contract.judgement import Difference, Group, Judgement

GAP = 2
MAX_NAME, MIN_NAME = 28, 10
UNKNOWN = "–"
MAIN_COLUMNS = 7  # up to chrF


def make_table(judgement: Judgement, width: int) -> list[tuple[str, ...]]:
    """Make the rows of the table, the headings first, with cells of equal width in each column. Columns that matter
    less are left out where `width` has no room for them. The cells may hold any text: clean them."""
    groups = list_groups(judgement)
    columns = [["", *groups]]
    for heading, *cells in zip(*[_list_headings(judgement), *map(_list_cells, groups.values())], strict=True):
        if any(cell != UNKNOWN for cell in cells):
            columns.append([heading, *cells])
    widths = [max(map(len, column)) for column in columns]
    widths[0] = min(widths[0], MAX_NAME)
    while (
        len(columns) > 2
        and sum(widths[1:]) + GAP * (len(columns) - 1) + _find_min_name_width(len(columns), widths[0]) > width
    ):
        columns.pop()
        widths.pop()
    widths[0] = max(MIN_NAME, min(widths[0], width - sum(widths[1:]) - GAP * (len(columns) - 1)))
    return align(columns, widths)


def align(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the rows of `columns`, with cells of these widths: names on the left, figures on the right."""
    return [
        tuple(_fit(cell, widths[place], left=not place) for place, cell in enumerate(row))
        for row in zip(*columns, strict=True)
    ]


def _find_min_name_width(columns: int, name: int) -> int:
    """Names are cut to keep the main columns, but not for the others."""
    return min(name, MIN_NAME) if columns <= MAIN_COLUMNS else name


def _fit(cell: str, width: int, *, left: bool) -> str:
    short = cell if len(cell) <= width else cell[: width - 1] + "…"
    return short.ljust(width) if left else short.rjust(width)


def _list_headings(judgement: Judgement) -> tuple[str, ...]:
    """The headings, the most important first. Where no question has conditions, chrF decides."""
    counted = "passes" if judgement.overall.passes else "exact"
    decides = "difference" if judgement.overall.passes else "chrF by"
    return (
        "N",
        counted,
        f"{decides} (95 %)",
        "W/L/T",
        "loss/token",
        "chrF",
        "loss by (95 %)",
        "chrF by (95 %)",
        "perplexity",
        "ended",
    )


def _list_cells(group: Group) -> tuple[str, ...]:
    ours, theirs, main = group.adapter, group.other, group.main
    return (
        f"{group.questions:,}",
        format_right(group),
        _format_difference(main, ours.marked if group.passes else 1, 0),
        format_wins(main),
        format_pair(theirs.loss, ours.loss, 2),
        format_pair(theirs.chrf, ours.chrf),
        _format_difference(group.loss, 1, 2),
        _format_difference(group.chrf, 1, 0) if group.passes else UNKNOWN,  # else it is the third cell
        format_pair(_limit(theirs.perplexity), _limit(ours.perplexity), 1),
        format_pair(theirs.ended, ours.ended),
    )


def format_right(group: Group) -> str:
    """Format how many answers of both sides pass; without conditions, how many are exactly the reference."""
    ours, theirs = group.adapter, group.other
    if ours.marked:
        return format_pair(theirs.passes, ours.passes)
    return format_pair(theirs.exact, ours.exact) if ours.referenced else UNKNOWN


def format_wins(difference: Difference | None) -> str:
    return f"{difference.wins}/{difference.losses}/{difference.ties}" if difference else UNKNOWN


def format_pair(other: float | None, adapter: float | None, digits: int = 0) -> str:
    """Format what the other side has and what the adapter has: "0 → 29"."""
    if other is None or adapter is None:
        return UNKNOWN
    return f"{other:,.{digits}f} → {adapter:,.{digits}f}"


def _format_difference(difference: Difference | None, scale: int, digits: int) -> str:
    if difference is None:
        return UNKNOWN
    values = [value * scale for value in (difference.estimate, difference.low, difference.high)]
    estimate, low, high = (format_signed(value, digits) for value in values)
    return f"{estimate} ({low} to {high})"


def format_signed(value: float, digits: int = 0) -> str:
    """Format "+1.5", "−1.5" or "0": what is rounded to nothing has no sign."""
    text = f"{value:+,.{digits}f}".replace("-", "−")
    return text[1:] if not text.strip("+−0.,") else text


def _limit(perplexity: float | None) -> float | None:
    return None if perplexity is None else min(perplexity, 1e6)
