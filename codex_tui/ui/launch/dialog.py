"""The launch dialog: asks for the dataset and the run's name, and starts the run. Builds a missing environment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.errors import CodexError, convert_os_error
from codex_tui.base.text import clean, format_duration
from codex_tui.ui.forecast.bar import format_change, format_gb, summarize
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.messages import OpenRun, ReportsWorkerErrors

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress
    from codex_tui.machine.forecast import ResourceForecast
    from codex_tui.profiles.library import ProfileEntry
    from training.contract.profile import Profile
    from training.contract.run_directory import RunDirectory

REPORT_SECONDS = 0.5  # time between two reports of progress


class LaunchDialog(ReportsWorkerErrors, ModalScreen[None]):
    """Shows the forecast of the profile. Enter starts the run and opens it in the cockpit."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="LaunchDialog")
        + """
    LaunchDialog Input { height: 1; border: none; padding: 0 1; background: $panel; margin-bottom: 1; }
    LaunchDialog Input:focus { border: none; }
    LaunchDialog .label { margin-bottom: 0; color: $text-muted; }
    LaunchDialog Input:focus { background-tint: $primary 20%; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Cancel"),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, entry: ProfileEntry) -> None:
        super().__init__()
        self._entry = entry
        self._busy = False
        self._reported_at = 0.0
        self._forecast: ResourceForecast | None = None

    def compose(self) -> ComposeResult:
        profile = self._entry.profile
        given = clean(profile.dataset.path or "") if profile else ""
        with Vertical():
            yield Static(line(("Launch ", "bold"), (clean(self._entry.title or self._entry.name), "bold")))
            yield Static("Dataset: a file, folder or pattern, or owner/name on the Hub", classes="label", markup=False)
            kinds = "JSONL, JSON, CSV or Parquet; or demo:zombie-waves"
            yield LineInput(given, id="dataset", placeholder=kinds)
            yield Static("Run name", classes="label", markup=False)
            yield LineInput(id="name", placeholder=f"{clean(self._entry.name)}-1 (automatic)")
            yield Static(id="forecast", markup=False)
            yield Static(id="status", markup=False)
            yield make_key_row(("Enter", "launch"), ("Tab", "next field"), ("Esc", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#status").display = False
        self.query_one("#forecast").display = False
        if self._entry.profile:
            self.run_worker(self._forecast_run(self._entry.profile), group="forecast", exit_on_error=False)

    async def _forecast_run(self, profile: Profile) -> None:
        forecast = await asyncio.to_thread(forecast_profile, profile, self._entry.path)
        self._forecast = forecast
        if self.is_attached:
            text = self.query_one("#forecast", Static)
            text.display = True
            warning = f"{clean(forecast.disk_warning)} The run starts anyway." if forecast.disk_warning else ""
            text.update(line(_format_forecast(forecast), line("\n", (warning, "$warning")) if warning else ""))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self._busy:
            self._busy = True
            self.run_worker(self._launch(), exit_on_error=False)

    async def _launch(self) -> None:
        dataset = self.query_one("#dataset", Input).value.strip()
        profile = self._entry.profile
        given = profile.dataset.path if profile else None
        name = self.query_one("#name", Input).value.strip()
        self._show_status(line(("Starting …", MUTED)))
        try:
            run = await asyncio.to_thread(
                self._start, None if not dataset or dataset == clean(given or "") else dataset, name or None
            )
        except (CodexError, OSError) as trouble:
            error = convert_os_error(trouble) if isinstance(trouble, OSError) else trouble
            hint = f"\n{clean(error.hint, newlines=True)}" if error.hint else ""
            self._show_status(line((f"✗ {clean(error.message, newlines=True)}", "bold $error"), (hint, "")))
        else:
            if self.is_current:  # else the user has left the dialog; the run is in the list of runs
                self.post_message(OpenRun(run))
        finally:
            self._busy = False

    def _start(self, dataset: str | None, name: str | None) -> RunDirectory:
        """Start the run. Call it in a thread: it may build an environment or fetch a dataset. Raises CodexError."""
        from codex_tui import launcher
        from codex_tui.environment import build
        from codex_tui.launch_plan import make_plan

        plan = make_plan(
            self._entry.path, dataset=dataset, name=name, resources=self._forecast, report=self._report_fetch
        )
        return launcher.launch(plan, build.ensure(self._report_setup))

    def _report_setup(self, progress: Progress) -> None:
        self._show_progress(progress, _format_setup)

    def _report_fetch(self, progress: Progress) -> None:
        self._show_progress(progress, _format_fetch)

    def _show_progress(self, progress: Progress, text: Callable[[Progress], Content]) -> None:
        """Show progress from the thread: at most two updates a second, and always the end of a step."""
        now = time.monotonic()
        if now - self._reported_at >= REPORT_SECONDS or progress.done == progress.total:
            self._reported_at = now
            self.app.call_from_thread(self._show_status, text(progress))

    def _show_status(self, text: Content) -> None:
        if self.is_attached:
            status = self.query_one("#status", Static)
            status.display = True
            status.update(text)


def _format_forecast(forecast: ResourceForecast) -> Content:
    """The memory in one line; if the run does not fit, also the best remedy."""
    if forecast.memory is None:
        return line(("Memory: ", MUTED), (clean(forecast.reason), MUTED))
    text = line(("Memory: ", MUTED), summarize(forecast.memory, forecast.card))
    if forecast.memory.verdict != "no":
        return text
    remedy = forecast.remedies[0] if forecast.remedies else None
    help = f" {format_change(remedy)} frees {format_gb(remedy.frees_mib)}." if remedy else ""
    return line(
        text, "\n", (f"It will probably run out of memory.{help} To edit the profile: Esc, then e.", "$warning")
    )


def _format_fetch(progress: Progress) -> Content:
    share = f"  {figures.compute_percent(progress.done, progress.total)} %" if progress.total else ""
    return line((f"{clean(progress.step)}{share}", MUTED))


def _format_setup(progress: Progress) -> Content:
    left = f", {format_duration(progress.seconds_left)} left" if progress.seconds_left is not None else ""
    bar = figures.draw_progress(progress.fraction, 40)
    return line(
        ("Setting up the training environment (only once).\n", MUTED),
        f"{clean(progress.step)}  ", (clean(progress.detail), MUTED), "\n",
        bar, f"  {progress.done} / {progress.total}{left}",
    )  # fmt: skip
