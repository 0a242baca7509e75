"""The launch dialog: asks for the dataset and the run's name, checks them, and starts the run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.errors import CodexError, convert_os_error
from codex_tui.base.text import clean
from codex_tui.ui.kit.dataset_input import DatasetInput
from codex_tui.ui.kit.dialogs import DIALOG_CSS, format_keys
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.suggesting_input import Suggestions
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.launch.check_runner import CheckRunner
from codex_tui.ui.launch.checks import Checks, describe_checks
from codex_tui.ui.launch.keys import APPLY_KEY, COMPARE_KEY, NOW_KEY, list_keys
from codex_tui.ui.launch.name_and_time import NameAndTime
from codex_tui.ui.launch.work import format_fetch, format_setup
from codex_tui.ui.messages import OpenRun, ReportsWorkerErrors

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.run_directory import RunDirectory

REPORT_SECONDS = 0.5  # time between two reports of progress
OTHER_ROWS = 14  # rows of the dialog without the checks
MIN_CHECK_ROWS = 3
MIN_HEIGHT_FOR_BOTH = 36  # rows of a terminal with room for the checks and an error


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
        self._runner = CheckRunner(self, entry, self._show_checks)

    @property
    def checks(self) -> Checks:
        return self._runner.checks

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
        self._show_checks()
        start_worker(self, self._propose_name, group="name")
        self._runner.start()

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

    async def _propose_name(self) -> None:
        from codex_tui import launcher

        profile = self._entry.profile
        base = (profile.launch.name if profile else None) or self._entry.name
        name = await asyncio.to_thread(launcher.propose_name, base)
        self.query_one(NameAndTime).propose_name(clean(name))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.input.id == "dataset":
            self._runner.check_dataset(self._dataset)
        if event.input.id == "until":
            self._runner.check_deadline(event.value.strip())

    def action_apply_length(self) -> None:
        if not self._busy:
            self._runner.apply_length()

    def action_lengths(self) -> None:
        """Compares every max_seq_length. The picked one is used for this run."""
        from codex_tui.data.check import TokenCount
        from codex_tui.ui.lengths.screen import LengthsScreen

        counted, target = self._runner.counted, self._runner.target
        if counted and target and not self._busy:
            changes = dict(self.checks.changes)
            screen = LengthsScreen(target, TokenCount(counted), "use for this run", changes)
            self.app.push_screen(screen, self._use_lengths)

    def _use_lengths(self, changes: Mapping[str, Any] | None) -> None:
        if changes is not None and not self._busy:
            self._runner.change_profile(changes)

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
            start_worker(self, partial(self._launch, wait))

    async def _launch(self, wait: bool) -> None:
        fields = self.query_one(NameAndTime)
        where = f" on {clean(self.checks.place)}" if self.checks.place else ""
        self._show_status(line((f"Starting{where} …", MUTED)))
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
        python = build.ensure(self._report_setup) if plan.profile.launch.shares_folder else None
        return launcher.launch(plan, python, wait=wait, report=self._report_fetch)

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

    def _show_checks(self) -> None:
        if not self.is_attached:
            return
        self.query_one("#checks", Static).update(describe_checks(self.checks))
        self._show_keys()

    def on_suggesting_input_suggested(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        is_suggesting = self.query_one(DatasetInput).is_suggesting
        keys = list_keys(self.checks, is_suggesting=is_suggesting, is_counted=self._runner.counted is not None)
        self.query_one("#keys", Static).update(format_keys(*keys))

    def _show_status(self, text: Content) -> None:
        if self.is_attached:
            status = self.query_one("#status", Static)
            status.display = True
            status.update(text)
            self.query_one(VerticalScroll).display = self.size.height >= MIN_HEIGHT_FOR_BOTH
