"""The launch dialog: asks for the dataset and the run's name, checks them, and starts the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.errors import BadInput, CodexError, convert_os_error
from codex_tui.base.text import clean
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.kit.dialogs import DIALOG_CSS, format_keys
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.suggesting_input import Suggestions
from codex_tui.ui.launch.checks import LENGTH, Checks, RowsChecked, describe_checks
from codex_tui.ui.launch.dataset_input import DatasetInput
from codex_tui.ui.launch.keys import APPLY_KEY, COMPARE_KEY, NOW_KEY, list_keys
from codex_tui.ui.launch.name_and_time import NameAndTime, read_deadline
from codex_tui.ui.launch.work import format_fetch, format_setup
from codex_tui.ui.messages import OpenRun, ReportsWorkerErrors

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress
    from codex_tui.data.check import CountedRows
    from codex_tui.data.target import Target
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile
    from training.contract.run_directory import RunDirectory

REPORT_SECONDS = 0.5  # time between two reports of progress
OTHER_ROWS = 14  # rows of the dialog without the checks
MIN_CHECK_ROWS = 3
MIN_HEIGHT_FOR_BOTH = 36  # rows of a terminal with room for the checks and an error
QUEUE_SECONDS = 3.0  # between two looks at the queue of the card
TYPING_SECONDS = 0.6  # the rows are checked when a person has not typed for so long


class LaunchDialog(ReportsWorkerErrors, ModalScreen[None]):
    """Shows what a run of the profile needs and what is wrong with its rows. Enter starts it and opens the cockpit.

    The checks run beside the dialog: a person can launch before they end.
    """

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="LaunchDialog")
        + """
    LaunchDialog > Vertical { width: 84; }
    LaunchDialog LineInput { margin-bottom: 1; }
    LaunchDialog .label { margin-bottom: 0; color: $text-muted; }
    LaunchDialog LineInput:focus { background-tint: $primary 20%; }
    LaunchDialog VerticalScroll { height: auto; margin-bottom: 1; }
    LaunchDialog #checks { margin-bottom: 0; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding(APPLY_KEY, "apply_length", "Use the advised max_seq_length for this run"),
        Binding(COMPARE_KEY, "lengths", "Compare every max_seq_length"),
        Binding(NOW_KEY, "launch_now", "Start although another run has the card"),
    ]

    def __init__(self, entry: ProfileEntry) -> None:
        super().__init__()
        self._entry = entry
        self._busy = False
        self._reported_at = 0.0
        self._counted: CountedRows | None = None  # of `_target`
        self._target: Target | None = None
        self.checks = Checks(entry.profile.model.max_seq_length if entry.profile else 0)

    def compose(self) -> ComposeResult:
        suggestions = Suggestions()
        with Vertical():
            yield Static(line(("Launch ", "bold"), (clean(self._entry.title or self._entry.name), "bold")))
            yield Static("Dataset: a file, folder or pattern, or owner/name on the Hub", classes="label", markup=False)
            kinds = "JSONL, JSON, CSV or Parquet; or demo:zombie-waves"
            yield DatasetInput(self._given, suggestions, kinds)
            yield suggestions
            yield NameAndTime()
            with VerticalScroll(can_focus=False):
                yield Static(id="checks", markup=False)
            yield Static(id="status", markup=False)
            yield Static(id="keys", classes="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one("#status").display = False
        self._show_checks(self.checks)
        self._start_worker("name", self._propose_name())
        if self._entry.profile:
            self._start_worker("forecast", self._forecast(self._entry.profile))
            self._start_worker("model", self._find_model(self._entry.profile))
            self._start_worker("rows", self._check_rows(self._entry.profile, None))
            self._start_worker("queue", self._look_at_queue(self._entry.profile.hardware.first_device))
            if self._entry.profile.evaluation.book:
                self._start_worker("book", self._check_book(self._entry.profile))

    def on_resize(self) -> None:
        """Leaves room for the fields and the keys in a small terminal."""
        self.query_one(VerticalScroll).styles.max_height = max(MIN_CHECK_ROWS, int(0.9 * self.size.height) - OTHER_ROWS)

    @property
    def _given(self) -> str:
        """The dataset of the profile, or ""."""
        profile = self._entry.profile
        return clean(profile.dataset.path or "") if profile else ""

    @property
    def _dataset(self) -> str | None:
        """The dataset that a person has typed in place of the profile's."""
        typed = self.query_one(DatasetInput).value.strip()
        return typed if typed and typed != self._given else None

    def _start_worker(self, group: str, work: Any) -> None:
        self.run_worker(work, group=group, exclusive=True, exit_on_error=False)

    async def _propose_name(self) -> None:
        from codex_tui import launcher

        profile = self._entry.profile
        base = (profile.launch.name if profile else None) or self._entry.name
        name = await asyncio.to_thread(launcher.propose_name, base)
        self.query_one(NameAndTime).propose_name(clean(name))

    async def _forecast(self, profile: Profile) -> None:
        from codex_tui.data.speed import find_last_loading_time, find_last_speed_on

        forecast = await asyncio.to_thread(forecast_profile, profile, self._entry.path)
        self._show_checks(self.checks.change(forecast=forecast))
        speed = await asyncio.to_thread(find_last_speed_on, forecast.card, profile, self._entry.path)
        loading = await asyncio.to_thread(find_last_loading_time, profile, self._entry.path)
        self._show_checks(self.checks.change(measured_speed=speed, loading=loading))

    async def _look_at_queue(self, device: int | str) -> None:
        """Shows which runs have the card, or wait for it, as long as the dialog is open."""
        from codex_tui.runs.queue import describe_busy

        while True:
            busy = await asyncio.to_thread(describe_busy, device)
            if busy != self.checks.busy:
                self._show_checks(self.checks.change(busy=busy))
            await asyncio.sleep(QUEUE_SECONDS)

    async def _find_model(self, profile: Profile) -> None:
        from codex_tui.hub.model import find_missing_model

        missing = await asyncio.to_thread(find_missing_model, profile, self._entry.path)
        self._show_checks(self.checks.change(missing=missing, model_checked=True))

    async def _check_book(self, profile: Profile) -> None:
        from codex_tui.judge.books import load_profile_book

        try:
            book = await asyncio.to_thread(load_profile_book, profile, self._entry.path.parent)
        except CodexError as error:
            self._show_checks(self.checks.change(book=error))
            return
        questions = sum(question.has_marks for question in book.questions) if book else None
        self._show_checks(self.checks.change(book=questions))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "dataset" and (profile := self._entry.profile):
            self._counted = None
            self._start_worker("rows", self._check_rows(profile, self._dataset, TYPING_SECONDS))
        if event.input.id == "until":
            self._start_worker("until", self._check_deadline(event.value.strip()))

    async def _check_deadline(self, text: str) -> None:
        """Shows what fits until the typed time. What is no time yet may become one with the next key."""
        deadline = read_deadline(text)
        if isinstance(deadline, BadInput):
            await asyncio.sleep(TYPING_SECONDS)
        self._show_checks(self.checks.change(until=deadline))

    async def _check_rows(self, profile: Profile, dataset: str | None, delay: float = 0.0) -> None:
        """Counts the tokens of the rows in the inspect worker, which ends when the dialog is left."""
        from codex_tui.data.check import count_rows
        from codex_tui.data.target import find_local_target

        await asyncio.sleep(delay)
        if not dataset and not self._given:
            self._show_checks(self.checks.change(rows="choose a dataset"))
            return
        self._show_checks(self.checks.change(rows="reading the files …"))
        try:
            target = await asyncio.to_thread(find_local_target, profile, self._entry.path, dataset)
            if target is None:
                self._show_checks(self.checks.change(rows="checked after the download from the Hub"))
                return
            self._counted, self._target = await count_rows(target, self._report_rows), target
            await self._advise()
        except CodexError as error:
            self._show_checks(self.checks.change(rows=error))

    async def _advise(self) -> None:
        """Shows the figures of the counted rows under the max_seq_length of this run."""
        if (counted := self._counted) and (target := self._target) and (profile := self._run_profile()):
            overview, advice = await asyncio.to_thread(counted.advise, profile)
            if counted is not self._counted or profile != self._run_profile():
                return  # other rows or other values have been chosen meanwhile
            checked = RowsChecked(overview, advice, profile.dataset.long_rows, len(target.source.left_out))
            self._show_checks(self.checks.change(rows=checked))

    def _run_profile(self) -> Profile | None:
        """The profile with the changes of this run."""
        if profile := self._entry.profile:
            for field, value in self.checks.changes.items():
                profile = profile.with_value(field, value)
        return profile

    def action_apply_length(self) -> None:
        """Uses the advised max_seq_length for this run, or, when it is used already, the profile's again."""
        if length := self.checks.advised_length:
            self._change_profile({} if self.checks.changes else {LENGTH: length})

    def action_lengths(self) -> None:
        """Compares every max_seq_length. The picked one is used for this run."""
        from codex_tui.data.check import TokenCount
        from codex_tui.ui.lengths.screen import LengthsScreen

        if self._counted and self._target and not self._busy:
            count, changes = TokenCount(self._counted), dict(self.checks.changes)
            self.app.push_screen(LengthsScreen(self._target, count, "use for this run", changes), self._change_profile)

    def _change_profile(self, changes: Mapping[str, Any] | None) -> None:
        """Uses other values for this run; None changes nothing."""
        if changes is None or self._busy:
            return
        self._show_checks(self.checks.change(changes=changes))
        if profile := self._run_profile():
            self._start_worker("forecast", self._forecast(profile))
            self._start_worker("advice", self._advise())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._begin_launch(wait=True)

    def action_launch_now(self) -> None:
        if self.checks.busy:
            self._begin_launch(wait=False)

    def _begin_launch(self, *, wait: bool) -> None:
        """Starts the run. With `wait`, it is queued if other runs have the card."""
        if not self._busy:
            self._busy = True
            self.run_worker(self._launch(wait), exit_on_error=False)

    async def _launch(self, wait: bool) -> None:
        fields = self.query_one(NameAndTime)
        self._show_status(line(("Starting …", MUTED)))
        try:
            run = await asyncio.to_thread(self._start, self._dataset, fields.run_name, fields.time, wait)
        except (CodexError, OSError) as trouble:
            error = convert_os_error(trouble) if isinstance(trouble, OSError) else trouble
            hint = f"\n{clean(error.hint, newlines=True)}" if error.hint else ""
            self._show_status(line((f"✗ {clean(error.message, newlines=True)}", "bold $error"), (hint, "")))
        else:
            if self.is_current:  # else the user has left the dialog; the run is in the list of runs
                self.post_message(OpenRun(run))
        finally:
            self._busy = False

    def _start(self, dataset: str | None, name: str | None, time: str, wait: bool) -> RunDirectory:
        """Start the run. Call it in a thread: it may build an environment or fetch a dataset. Raises CodexError."""
        from codex_tui import launcher
        from codex_tui.base.deadline import parse_deadline
        from codex_tui.environment import build
        from codex_tui.launch_plan import make_plan

        plan = make_plan(
            self._entry.path,
            dataset=dataset,
            name=name,
            overrides=dict(self.checks.changes),
            resources=self.checks.forecast,
            until=parse_deadline(time) if time else None,
            find_model=False,  # the dialog has said what it knows
            report=self._report_fetch,
        )
        return launcher.launch(plan, build.ensure(self._report_setup), wait=wait)

    def _report_setup(self, progress: Progress) -> None:
        self._show_progress(progress, format_setup)

    def _report_fetch(self, progress: Progress) -> None:
        self._show_progress(progress, format_fetch)

    def _show_progress(self, progress: Progress, text: Callable[[Progress], Content]) -> None:
        """Show progress from the thread: at most two updates a second, and always the end of a step."""
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS or progress.done == progress.total:
            self._reported_at = now
            self.app.call_from_thread(self._show_status, text(progress))

    def _report_rows(self, progress: Progress) -> None:
        self._show_checks(self.checks.change(rows=progress))

    def _show_checks(self, checks: Checks) -> None:
        self.checks = checks
        if not self.is_attached:
            return
        self.query_one("#checks", Static).update(describe_checks(checks))
        self._show_keys()

    def on_suggesting_input_suggested(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        is_suggesting = self.query_one(DatasetInput).is_suggesting
        keys = list_keys(self.checks, is_suggesting=is_suggesting, is_counted=self._counted is not None)
        self.query_one("#keys", Static).update(format_keys(*keys))

    def _show_status(self, text: Content) -> None:
        if self.is_attached:
            status = self.query_one("#status", Static)
            status.display = True
            status.update(text)
            self.query_one(VerticalScroll).display = self.size.height >= MIN_HEIGHT_FOR_BOTH
