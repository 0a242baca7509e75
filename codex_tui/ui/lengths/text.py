"""Draws the texts of the lengths screen: the table, the figures of the picked length, and the notes below them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.base.text import clean, format_duration_range, pluralize
from codex_tui.ui.forecast.bar import VERDICTS
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, Part, line
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.work import draw_work

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.data.check import TokenCount
    from codex_tui.data.length_options import LengthOption, LengthOptions

HEADINGS = (("", "length"), ("whole", "rows"), ("answers", "cut"), ("answers", "lost"), ("learned", "tokens"),
            ("GPU  ", "MiB  "), ("epoch", "time"))  # fmt: skip
GAP = "  "
OWN, FITTING = "●", "★"
UNKNOWN = "–"
FATES = {"cut": "are cut", "drop": "are dropped", "refuse": "refuse the run"}  # of the rows that are longer
NAME_WIDTH = 15


def draw_table(choice: LengthOptions, *, with_words: bool) -> tuple[list[Content], list[Content]]:
    """Draws the two lines of headings, and a row for each length. `with_words` writes what the signs mean."""
    table = [_draw_cells(option, choice) for option in choice.options]
    columns = [[cells[column].cell_length for cells in table] for column in range(len(HEADINGS))]
    widths = [max(*map(len, heading), *lengths) for heading, lengths in zip(HEADINGS, columns, strict=True)]
    headings = []
    for part in (0, 1):
        names = [heading[part].rjust(width) for heading, width in zip(HEADINGS, widths, strict=True)]
        headings.append(line((f"   {GAP.join(names)}", MUTED)))
    rows = []
    for option, cells in zip(choice.options, table, strict=True):
        aligned = [line(" " * (width - cell.cell_length), cell) for cell, width in zip(cells, widths, strict=True)]
        words = f"   {_describe(option, choice)}" if with_words else ""
        rows.append(line(_draw_signs(option, choice), Content(GAP).join(aligned), (words, MUTED)))
    return headings, rows


def _draw_signs(option: LengthOption, choice: LengthOptions) -> Content:
    length = option.max_seq_length
    return line(
        (OWN if length == choice.own_length else " ", "$primary"),
        (FITTING if length == choice.longest_fitting else " ", "$success"),
        " ",
    )


def _describe(option: LengthOption, choice: LengthOptions) -> str:
    """Says what is special about a length."""
    pairs = ((choice.own_length, "the profile's own"), (choice.longest_fitting, "the longest that fits"),
             (choice.first_whole, "no row is longer"))  # fmt: skip
    return ", ".join(words for length, words in pairs if length == option.max_seq_length)


def _draw_cells(option: LengthOption, choice: LengthOptions) -> list[Content]:
    overview = option.overview
    counts: list[Part] = [(UNKNOWN, MUTED)] * 3
    seconds = UNKNOWN
    if choice.starts(option):
        cut, lost = overview.answers_cut or 0, overview.answers_lost or 0
        counts = [
            (f"{cut:,}", "$warning" if cut else ""),
            (f"{lost:,}", "bold $error" if lost else ""),
            figures.format_count(overview.learned_tokens),
        ]
        seconds = format_duration_range(*option.epoch_seconds) if option.epoch_seconds else UNKNOWN
    length: Part = (f"{option.max_seq_length:,}", STRONG)
    return [*map(line, [length, f"{option.whole_rows:,}", *counts]), _draw_memory(option, choice), line(seconds)]


def _draw_memory(option: LengthOption, choice: LengthOptions) -> Content:
    if option.memory is None:
        return line((UNKNOWN if choice.no_memory else "…", MUTED), "  ")
    sign, _, style = VERDICTS.get(option.memory.verdict or "", (" ", "", ""))
    return line(f"{option.memory.device_mib:,.0f} ", (sign, style))


def draw_summary(option: LengthOption, choice: LengthOptions) -> Content:
    """Draws the most important figures of the picked length in one row."""
    overview = option.overview
    parts: list[Part] = [
        (f"{option.max_seq_length:,} tokens", STRONG),
        f", longer rows {FATES[choice.long_rows]}: {option.whole_rows:,} of {pluralize(overview.kept, 'row')} whole",
    ]
    if not choice.starts(option):
        parts += [" · ", ("no start", "bold $error")]
    elif overview.answers_lost:
        parts += [" · ", (f"{pluralize(overview.answers_lost, 'answer')} lost", "bold $error")]
    return line(*parts)


def describe_share(option: LengthOption) -> str:
    """Describes the share of whole rows. It is rounded down: 100 % means all."""
    overview = option.overview
    per_mille = 1000 * option.whole_rows // max(1, overview.kept)
    return f"{per_mille / 10:g} % of the rows are whole"


def draw_details(option: LengthOption, choice: LengthOptions, own_long_rows: str) -> Iterator[Content]:
    """Draws all figures of the picked length, one a line. `own_long_rows` is the setting of the profile."""
    overview = option.overview
    yield _draw_fact("max_seq_length", f"{option.max_seq_length:,}", _describe(option, choice))
    changed = "" if choice.long_rows == own_long_rows else f'profile: "{own_long_rows}"'
    yield _draw_fact("long_rows", f'"{choice.long_rows}"', changed)
    yield Content("")
    yield _draw_fact("whole rows", f"{option.whole_rows:,}", f"of {overview.kept:,}")
    yield _draw_fact("longer rows", f"{overview.truncated or 0:,}", FATES[choice.long_rows])
    if choice.starts(option):
        yield from _draw_learned(option)
    else:
        yield line(("The run does not start while a row is longer.", "$error"))
    if tokens := overview.tokens:
        yield Content("")
        yield _draw_fact("half of rows", f"{tokens.p50:,}", "tokens or less")
        yield _draw_fact("99 % of rows", f"{tokens.p99:,}", "tokens or less")
        yield _draw_fact("longest row", f"{tokens.max:,}", "tokens")


def _draw_learned(option: LengthOption) -> Iterator[Content]:
    overview = option.overview
    yield _draw_fact("answers", f"{overview.answers or 0:,}", "in all rows")
    yield _draw_fact("answers cut", f"{overview.answers_cut or 0:,}", "lose their end")
    yield _draw_fact("answers lost", f"{overview.answers_lost or 0:,}", "are not learned")
    yield _draw_fact("rows lost", f"{overview.dropped_rows or 0:,}", "teach nothing")
    yield Content("")
    tokens = figures.format_count(overview.train_tokens)
    yield _draw_fact("learned", figures.format_count(overview.learned_tokens), f"of {tokens} tokens")
    yield _draw_fact("steps", f"{overview.steps_per_epoch:,}", "an epoch")
    yield _draw_fact("", f"{overview.total_steps:,}", "in all epochs")
    if option.epoch_seconds and overview.steps_per_epoch:
        epochs = overview.total_steps / overview.steps_per_epoch
        shortest, longest = option.epoch_seconds
        yield _draw_fact("time", format_duration_range(shortest, longest), "an epoch")
        yield _draw_fact("", format_duration_range(shortest * epochs, longest * epochs), "in all epochs")


def _draw_fact(name: str, value: str, words: str) -> Content:
    return line((f"{name:<{NAME_WIDTH}}", MUTED), (f"{value:>9}", STRONG), (f"  {words}", MUTED))


def draw_notes(choice: LengthOptions) -> Iterator[Content]:
    """Draws the meaning of the signs, and says which figures are not known, and why."""
    parts: list[Part] = [(OWN, "$primary"), (" the profile's own", MUTED)]
    if choice.longest_fitting is not None:
        parts += [(f"   {FITTING}", "$success"), (" the longest that fits", MUTED)]
    if choice.limit_mib is not None:
        for sign, word, style in VERDICTS.values():
            parts += [(f"   {sign}", style), (f" {word}", MUTED)]
    yield line(*parts)
    if choice.long_rows == "refuse":
        yield line(("A run starts only with a length that leaves every row whole.", MUTED))
    yield from _explain_memory(choice)
    if choice.has_estimated_time:
        yield line(("Times are estimates for this card. The first run here measures them.", MUTED))
    elif choice.tokens_per_second is None:
        yield line(("The time of an epoch is not known before a run with this model here.", MUTED))
    else:
        speed = f"{choice.tokens_per_second:,.0f} tokens/s"
        yield line((f"Epochs are at {speed}, the speed of the last run with this model here.", MUTED))


def _explain_memory(choice: LengthOptions) -> Iterator[Content]:
    memory, limit = choice.options[0].memory, choice.limit_mib
    if choice.no_memory:
        yield line((f"GPU memory is not known: {clean(choice.no_memory)}", MUTED))
    elif memory is None:
        yield line(("Estimating memory …", MUTED))
    elif limit is None:
        yield line(("No GPU is here to compare the memory with.", MUTED))
    else:
        size = f"{memory.card_mib / 1024:.3g} GB card; no GPU is here" if memory.card_mib else "limit of the profile"
        where = "this card" if choice.card else f"a {size}"
        words = "The run may use" if choice.longest_fitting else "No length fits into the"
        style = MUTED if choice.longest_fitting else "$warning"
        yield line((f"{words} {limit:,.0f} MiB of {where}.", style))


def explain_missing(count: TokenCount, width: int) -> Content:
    """Says why there is nothing to compare yet."""
    if count.rows and count.rows.lengths.tokens:
        return line((f"Comparing the lengths of {pluralize(count.rows.lengths.rows, 'row')} …", MUTED))
    if count.rows:
        return line("No row can be used, so there are no lengths.\n", ("See why: codex-tui data check FILE", MUTED))
    if count.work:
        return draw_work(count.work, "t stops" if count.by_key else "", width)
    reason = line((clean(count.reason, newlines=True), "$warning"))
    return line(reason, "\n", (clean(count.hint, newlines=True), MUTED))


def list_hints(choice: LengthOptions | None, purpose: str, next_long_rows: str, by_key: bool) -> list[Hint]:
    """Lists the keys that work now. `purpose` is what Enter does, `next_long_rows` the setting that d switches to."""
    if choice:
        keys = [("← →", "length"), ("d", f"{next_long_rows} long rows")]
        keys += [("Enter", purpose)] if purpose else []
        keys += [("Esc", "back")]
        keys += [("f", "longest that fits")] if choice.longest_fitting else []
        keys += [("=", "other length"), ("Bksp", "profile's own")]
        return keys
    return [*([("t", "start or stop the count")] if by_key else []), ("Esc", "back")]
