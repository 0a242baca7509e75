"""The details of a run: its outcome, resolved settings, changed settings, warnings, checkpoints and versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from codex_tui.base.text import clean, format_moment
from codex_tui.environment.tracker_commands import describe_trackers
from codex_tui.runs.changed_settings import describe_change, is_choice
from codex_tui.runs.facts import RunFacts
from codex_tui.runs.fitted import describe_fit
from codex_tui.runs.healed import describe_heal
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, line
from codex_tui.ui.kit.text_view import TextView
from training.contract.config import RunConfig, list_tables
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory


class DetailsScreen(ModalScreen[None]):
    """A box over the cockpit that shows all details of a run."""

    DEFAULT_CSS = """
    DetailsScreen { align: center middle; background: $background 60%; }
    DetailsScreen > Vertical {
        width: 100; max-width: 96%; height: 90%; padding: 0 2;
        background: $surface; border: round $primary; border-title-color: $primary;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,i", "dismiss", "Close")]

    def __init__(self, run: RunDirectory, facts: RunFacts, watched: WatchedRun) -> None:
        super().__init__()
        self._run, self._facts, self._watched = run, facts, watched

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(f"Details of {self._facts.name}")
            box.border_subtitle = "↑ ↓ scroll · Esc closes"
            yield TextView()

    def on_mount(self) -> None:
        view = self.query_one(TextView)
        view.set_text(describe_run(self._run, self._facts, self._watched))
        view.focus()


def describe_run(run: RunDirectory, facts: RunFacts, watched: WatchedRun) -> Iterator[Content]:
    """All details of a run, a paragraph at a time. Text from files is cleaned, so it is safe to show."""
    state = watched.state
    yield from _describe_outcome(watched)
    yield line(("Run", STRONG))
    yield _pair("directory", facts.directory)
    if watched.engine:
        yield from _describe_engine(watched.engine)
    elif watched.place:
        yield _pair("machine", watched.place)
    if state.pid:
        yield _pair("process", str(state.pid))
    if resolved := state.resolved:
        share = 100 * resolved.trainable_parameters / resolved.total_parameters if resolved.total_parameters else 0
        yield _pair("device", resolved.device)
        yield _pair(
            "parameters",
            f"{figures.format_count(resolved.trainable_parameters)} trained of "
            f"{figures.format_count(resolved.total_parameters)} ({share:.2f} %)",
        )
        lost = (
            f", {resolved.truncated_rows:,} cut short, {resolved.dropped_rows:,} skipped"
            if resolved.truncated_rows or resolved.dropped_rows
            else ""
        )
        yield _pair("rows", f"{resolved.train_rows:,} training rows, {resolved.eval_rows:,} for evaluation{lost}")
        if state.fitted:
            yield _pair("time limit", describe_fit(state.fitted, state.fitted.time))
        if resolved.train_sequences > resolved.train_rows:
            yield _pair("sequences", f"{resolved.train_sequences:,}, because the chat template changes earlier answers")
        for field, (asked, used, reason) in resolved.changed.items():
            name, style = ("chosen", "") if is_choice(field, asked) else ("changed", "$warning")
            yield _pair(name, describe_change(field, asked, used, reason), style)
    yield Content("")
    if state.checkpoints:
        yield line(("Checkpoints", STRONG))
        for checkpoint in state.checkpoints[-5:]:
            yield _pair(f"step {checkpoint.step:,}", checkpoint.path)
        yield Content("")
    if views := describe_trackers([run]):
        yield line(("Trackers", STRONG))
        for view in views:
            yield _pair(view.label, view.place)
            if view.command:
                yield _pair("  open it", view.command)
        yield Content("")
    if facts.config:
        yield from _describe_settings(facts.config)


def _describe_engine(record: EngineRecord) -> Iterator[Content]:
    since = f" since {format_moment(record.since)}" if record.since else ""
    pairs = (
        ("engine", record.engine),
        ("host", record.host),
        ("job", record.job),
        ("directory over there", record.folder),
        ("submitted", format_moment(record.submitted) if record.submitted else ""),
        ("attempts in this job", f"from attempt {record.attempt} on" if record.attempt > 1 else ""),
        ("state over there", f"{record.status}{since}"),
        ("last answer", format_moment(record.seen) if record.seen else "none yet"),
        ("engine's reason", record.reason),
    )
    yield from (_pair(name, value) for name, value in pairs if value)


def _describe_settings(config: RunConfig) -> Iterator[Content]:
    profile = config.actual or config.profile
    tables = {f"[{clean(name)}]": values for name, values in list_tables(profile)}
    tables["Dataset"] = msgspec.to_builtins(config.dataset_fingerprint) or {}
    tables["Versions"] = config.stack
    for title, values in tables.items():
        if values or title.startswith("["):
            yield line((title, STRONG))
            for name, value in values.items():
                yield _pair(name, _format_value(value))
            yield Content("")


def _describe_outcome(watched: WatchedRun) -> Iterator[Content]:
    state = watched.state
    if watched.reason:
        yield line(("Outcome", STRONG))
        yield Content(clean(watched.reason, newlines=True))
        yield from (line((clean(text), MUTED)) for text in watched.log_tail)
        yield Content("")
    if state.healed:
        yield line(("Healed", STRONG))
        yield from (Content(clean(describe_heal(event))) for event in state.healed)
        yield Content("")
    if state.warnings or watched.missing_events or watched.damaged_lines:
        yield line(("Warnings", STRONG))
        yield from (Content(clean(text, newlines=True)) for text in state.warnings[-20:])
        if watched.missing_events:
            yield Content(f"{watched.missing_events:,} events are missing from events.jsonl.")
        if watched.damaged_lines:
            yield Content(f"{watched.damaged_lines:,} lines of events.jsonl can't be read.")
        yield Content("")
    if state.failure and state.failure.traceback:
        yield line(("Traceback", STRONG))
        yield from (line((clean(text), MUTED)) for text in state.failure.traceback.splitlines()[-40:])
        yield Content("")


def _pair(name: str, value: str, style: str = "") -> Content:
    return line((f"{clean(name):<28} ", MUTED), (clean(value), style))


def _format_value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
