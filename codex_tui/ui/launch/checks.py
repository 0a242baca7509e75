"""What the launch dialog finds out before a run starts, in words: rows, time, memory, device and model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from textual.content import Content

from codex_tui.base.errors import BadInput, CodexError, EnvironmentNotBuilt
from codex_tui.base.progress import Progress
from codex_tui.base.text import clean, format_duration, format_duration_range, format_gb, pluralize
from codex_tui.ui.forecast.bar import format_change, summarize
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, line

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress
    from codex_tui.data.advice import Advice
    from codex_tui.data.duration import Duration
    from codex_tui.data.overview import Overview
    from codex_tui.hub.model import MissingModel
    from codex_tui.machine.forecast import ResourceForecast
    from training.memory.remedies import Remedy

LENGTH = "model.max_seq_length"
MAX_ADVICE = 3  # pieces of advice that are shown; `data check` and the data screen show all, with all remedies
LABEL_WIDTH = 8


@dataclass(frozen=True)
class RowsChecked:
    """The figures of the rows under the profile of this run, and the advice. `long_rows` is the profile's setting."""

    overview: Overview
    advice: tuple[Advice, ...]
    long_rows: str
    files_left_out: int = 0  # of the folder or repository

    @property
    def advised_length(self) -> int | None:
        """The max_seq_length of the first advice that names one."""
        return next((each.max_seq_length for each in self.advice if each.max_seq_length), None)


@dataclass(frozen=True)
class Checks:
    """The results so far. None: not known yet. `model_checked` says that `missing` is final, where None means that the
    model is here. `rows` can be an error or the progress of the check. `changes` are the fields of the profile that
    have other values for this run, and `own_length` is the profile's max_seq_length. `measured_speed` is that of the
    last run with this model here, in tokens a second. `book` is the number of questions that the run is asked again and
    again, or what is wrong with its book. `busy` says which runs have the card or wait for it; "" if it is free.
    `until` is the run's deadline, or what is wrong with it, `loading` the seconds to the first step of the last
    run, and `place` the other machine that trains this one."""

    own_length: int
    forecast: ResourceForecast | None = None
    missing: MissingModel | None = None
    model_checked: bool = False
    rows: RowsChecked | CodexError | Progress | str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    measured_speed: float | None = None
    book: int | CodexError | None = None
    busy: str = ""
    until: float | BadInput | None = None
    loading: float | None = None
    place: str = ""

    def change(self, **values: object) -> Checks:
        return replace(self, **values)  # type: ignore[arg-type]

    @property
    def length(self) -> int:
        """The max_seq_length of this run."""
        length: int = self.changes.get(LENGTH, self.own_length)
        return length

    @property
    def advised_length(self) -> int | None:
        """The max_seq_length that the key applies: the advised one, or the profile's own after a change."""
        if self.changes:
            return self.own_length
        return self.rows.advised_length if isinstance(self.rows, RowsChecked) else None


def describe_checks(checks: Checks) -> Content:
    """All lines of the checks."""
    lines = [
        *([_label("Where", line((clean(checks.place), STRONG)))] if checks.place else []),
        *([_warn(f"{checks.busy} Enter queues this one.")] if checks.busy else []),
        *_describe_rows(checks),
        *_describe_time(checks),
        *_describe_fit(checks),
        *_describe_book(checks),
        *_describe_forecast(checks.forecast, checks.missing),
        *_describe_model(checks),
        *_list_advice(checks),
    ]
    return Content("\n").join(lines)


def _describe_forecast(forecast: ResourceForecast | None, missing: MissingModel | None) -> Iterator[Content]:
    if forecast is None:
        yield _label("Memory", line(("computing the forecast …", MUTED)))
        return
    if forecast.memory:
        yield _label("Memory", summarize(forecast.memory, forecast.card, forecast.place))
        if larger := forecast.larger_passes:
            more = f", {format_gb(larger.needs_mib)} more"
            yield _label(
                "Passes", line(f"{larger.rows} rows instead of {larger.instead_of}: ", (larger.time, STRONG), more)
            )
        if forecast.memory_warning:
            remedy = forecast.remedies[0] if forecast.remedies else None
            help = f" {_describe_remedy(remedy)}." if remedy else ""
            yield _warn(f"It will probably run out of memory.{help} To edit the profile: Esc, then e.")
    elif missing is None:  # else the model's own line says why there is no forecast
        yield _label("Memory", line((clean(forecast.reason), MUTED)))
    disk_warning = forecast.disk_warning and f"{forecast.disk_warning} The run starts anyway."
    for warning in (forecast.cpu_warning, forecast.cards_warning, disk_warning, *forecast.power_warnings):
        if warning:
            yield _warn(clean(warning))


def _describe_remedy(remedy: Remedy) -> str:
    from training.memory.remedies import describe_longer

    time = f" and {describe_longer(*remedy.longer)}" if remedy.longer else ""
    return f"{format_change(remedy)} frees {format_gb(remedy.frees_mib)}{time}"


def _describe_model(checks: Checks) -> Iterator[Content]:
    missing = checks.missing
    if missing is not None and missing.problem:
        yield line((f"✗ {clean(missing.note)}", "$error"), (f" {clean(missing.hint)}", MUTED))
    elif missing is not None:
        yield _label("Model", line(clean(missing.note)))
    elif not checks.model_checked:
        yield _label("Model", line(("looking for it on this machine …", MUTED)))


def _describe_rows(checks: Checks) -> Iterator[Content]:
    rows = checks.rows
    if isinstance(rows, str):
        yield _label("Rows", line((clean(rows), MUTED)))
    elif isinstance(rows, BadInput):
        yield line((f"✗ {clean(rows.message, newlines=True)}", "$error"), (f" {clean(rows.hint)}", MUTED))
    elif isinstance(rows, EnvironmentNotBuilt) and not checks.place:
        once = f"Enter builds it first, once: {rows.gib_needed} GB on the disk, some minutes."
        yield _label("Rows", line((f"counted when the training environment is built. {once}", MUTED)))
    elif isinstance(rows, CodexError):  # the launch does not need the count
        reason = f"{clean(rows.message).removesuffix('.')}. {clean(rows.hint)}"
        why = "the model's tokenizer is not here." if checks.missing else reason
        yield _label("Rows", line((f"not counted: {why}", MUTED)))
    elif isinstance(rows, RowsChecked):
        yield _label("Rows", line(_describe_cut(rows, checks), (_describe_left_out(rows.files_left_out), MUTED)))
    elif rows is not None:
        yield _label("Rows", line((f"{clean(rows.step)}{figures.format_share(rows)}", MUTED)))


def _describe_left_out(files: int) -> str:
    if not files:
        return ""
    return f" {pluralize(files, 'file')} of the dataset {'is' if files == 1 else 'are'} left out: Esc, d, 4 says why."


def _forecast_duration(checks: Checks) -> Duration | None:
    """Returns None until the rows are counted, and if no speed is known."""
    if checks.forecast is None or not isinstance(checks.rows, RowsChecked):
        return None
    from codex_tui.data.duration import forecast_duration

    return forecast_duration(checks.forecast, checks.rows.overview, checks.measured_speed)


def _describe_book(checks: Checks) -> Iterator[Content]:
    """What the run is asked at its evaluations, and how long the answers take, if that is known."""
    if isinstance(checks.book, CodexError):
        yield line((f"✗ {clean(checks.book.message, newlines=True)}", "$error"), (f" {clean(checks.book.hint)}", MUTED))
    elif checks.book:
        questions, duration = pluralize(checks.book, "question"), _forecast_duration(checks)
        if duration is None or checks.forecast is None or not isinstance(checks.rows, RowsChecked):
            yield _label("Book", line(f"{questions} at each evaluation"))
            return
        from codex_tui.data.duration import forecast_book

        book = forecast_book(checks.forecast.profile, checks.rows.overview, duration, checks.book)
        times = dict.fromkeys(map(format_duration, (book.shortest, book.longest)))
        asked = f"{questions}, asked {pluralize(book.rounds, 'time')}: "
        yield _label("Book", line(asked, (f"about {' to '.join(times)} more", STRONG)))


def _describe_time(checks: Checks) -> Iterator[Content]:
    """How long the run will take; nothing until the rows are counted, or if no speed is known."""
    duration = _forecast_duration(checks)
    if duration is None:
        return
    steps, time = pluralize(duration.steps, "step"), format_duration_range(duration.shortest, duration.longest)
    if duration.speed.measured:
        source = f"at the last run's {duration.speed.fast:,.0f} tokens/s"
        yield _label("Time", line((time, STRONG), f" for {steps}", (f", {source}", MUTED)))
    else:
        yield _label("Time", line((time, STRONG), f" for {steps}", (", estimated for this card", MUTED)))


def _describe_fit(checks: Checks) -> Iterator[Content]:
    """What fits into the time limit of the run, if it has one."""
    if isinstance(checks.until, BadInput):
        yield line((f"✗ {clean(checks.until.message)}", "$error"), (f" {clean(checks.until.hint)}", MUTED))
        return
    if checks.forecast is None:
        return
    from codex_tui.data.time_fit import find_deadline, forecast_time_fit
    from training.dataset.split import Steps

    profile = checks.forecast.profile
    deadline, duration = find_deadline(profile, checks.until), _forecast_duration(checks)
    if deadline is None:
        return
    if duration is None or not isinstance(checks.rows, RowsChecked):
        yield _label("Limit", line(("what fits is known when the rows are counted and a speed is known", MUTED)))
        return
    rows = checks.rows.overview
    steps, tokens = Steps(rows.steps_per_epoch, duration.steps), (rows.train_tokens or 0) * duration.epochs
    share = rows.eval_rows / max(1, rows.train_rows)
    fit = forecast_time_fit(profile, steps, tokens, duration.speed, deadline, eval_share=share, loading=checks.loading)
    yield _warn(fit.describe()) if fit.is_short else _label("Limit", line(fit.describe()))


def _describe_cut(rows: RowsChecked, checks: Checks) -> Content:
    overview, limit = rows.overview, checks.length
    here = " for this run" if checks.changes else ""
    if overview.truncated:
        enough = rows.advised_length
        remedy = f"; {enough:,} cuts none" if enough else ""
        verb = "is" if overview.truncated == 1 else "are"
        fate = {
            "drop": f"longer than {limit:,} tokens and dropped{here}",
            "refuse": f"longer than {limit:,} tokens{here}, so it can't start",
        }.get(rows.long_rows, f"cut at {limit:,} tokens{here}")
        rows_text = f"{overview.truncated:,} of {pluralize(overview.kept, 'row')} {verb} {fate}{remedy}."
        return line((rows_text, "$warning"))
    return line(f"{overview.train_rows:,} to train on; none is cut at {limit:,} tokens{here}.")


def _list_advice(checks: Checks) -> Iterator[Content]:
    """The advice about the rows, without that which `_describe_cut` gives. First comes what the key can apply."""
    rows = checks.rows
    if not isinstance(rows, RowsChecked):
        return
    others = [each for each in rows.advice if not (each.max_seq_length and rows.overview.truncated)]
    others.sort(key=lambda each: each.max_seq_length is None)
    for advice in others[:MAX_ADVICE]:
        yield _warn(f"{clean(advice.message)} {clean(advice.remedy) if advice.max_seq_length else ''}".strip())
    if others:
        yield line(("  What to do about the rows: Esc, then d, then 4.", MUTED))


def _label(name: str, text: Content) -> Content:
    return line((f"{name:<{LABEL_WIDTH}}", MUTED), text)


def _warn(text: str) -> Content:
    return line((f"! {text}", "$warning"))
