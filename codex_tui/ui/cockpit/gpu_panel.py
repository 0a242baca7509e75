"""The GPU pane: its readings now and in the last minutes. Without a GPU it shows the machine's CPU and memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean, format_moment
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.cockpit.gpu_reader import GpuReader
from codex_tui.ui.cockpit.gpu_text import (
    differs_enough,
    draw_memory,
    format_power,
    format_temperature,
    format_use,
    list_values,
    round_percent,
)
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, fit_parts, line, to_strips
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.painted import Painted
from training.history.state import RunState

if TYPE_CHECKING:  # importing it loads psutil and NVML, which the first paint does not need
    from codex_tui.machine.gpu import GpuReading, Reading
    from training.contract.measurements import Gpu

MAX_READINGS = 120  # readings that the small curves show
CURVES = ("temperature", "utilisation", "power", "sm_clock")
MAX_CURVE_ROWS = 4
MIN_CURVE_CELSIUS = 30.0  # the lower end of the temperature curve
HOT_CELSIUS = 83  # most cards begin to slow down here


class GpuPanel(Painted, can_focus=True):
    """Readings of the GPU: one line if the panel is one row high, else all of them with curves.

    `feed` passes a reading of this machine, `show` the readings that the run recorded. Of a run elsewhere only those
    are shown, because it trains on no card of this machine. While nothing trains, small changes are not drawn, so that
    an idle panel sends nothing over a slow connection.
    """

    def __init__(self, device: int = 0) -> None:
        super().__init__(id="gpu")
        self._reader = GpuReader(device)
        self._reading: Reading | None = None
        self._state: RunState | None = None
        self._ended = False
        self._live = False
        self._had_gpu = False
        self._place = ""  # the other machine that has the run; "" for this one
        self._is_reachable = True
        self._last_recorded: Gpu | None = None  # the reading of a run elsewhere that the curves have
        self._history: dict[str, deque[float | None]] = {
            name: deque(maxlen=MAX_READINGS) for name in (*CURVES, "cpu", "ram")
        }

    @property
    def has_reading(self) -> bool:
        return self._reading is not None or bool(self._place)

    def hints(self) -> list[Hint]:
        return []

    def show(self, watched: WatchedRun) -> None:
        """Show the memory peak that the trainer recorded. The first call also loads the recorded history.

        On a machine without a GPU the panel shows the recorded readings.
        """
        first = self._state is None
        self._state, self._ended = watched.state, watched.ended
        self._place, self._is_reachable = watched.place, watched.liveness != "unreachable"
        if first:
            for event in list(self._state.gpu_history)[-MAX_READINGS:]:
                self._append(event)
        elif self._place and self._state.gpu and self._state.gpu is not self._last_recorded:
            self._append(self._state.gpu)
        self._last_recorded = self._state.gpu
        self.repaint()

    def _append(self, source: Gpu | GpuReading | None) -> None:
        """Append a reading to the curves. None leaves a gap."""
        for name in CURVES:
            self._history[name].append(getattr(source, name) if source else None)

    async def sample(self, live: bool) -> None:
        """Read the machine, and show the reading. `live`: see `feed`. Does nothing for a run elsewhere."""
        if self._place:
            return
        reading = await self._reader.read()
        if reading and self.is_attached:
            self.feed(reading, live)

    def feed(self, reading: Reading, live: bool) -> None:
        """Show a reading of this machine. `live` means that a run is training, so every change is drawn."""
        if not live and not self._live and self._reading is not None and not differs_enough(self._reading, reading):
            return
        self._reading, self._live = reading, live
        self._had_gpu = self._had_gpu or reading.gpu is not None
        if live:
            self._history["cpu"].append(reading.cpu_percent)
            self._history["ram"].append(reading.ram_used_mib)
            self._append(reading.gpu or (self._state.gpu if self._state else None))
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if not self.has_reading:
            return to_strips(self, [line(("Looking for a GPU …", MUTED))], width, height)
        if height == 1:
            return to_strips(self, [self._format_line(width)], width, 1)
        if gpu := self._find_gpu():
            rows = self._gpu_rows(gpu, width, height)
        else:
            rows = self._elsewhere_rows(width) if self._place else self._machine_rows(width, height)
        return to_strips(self, rows, width, height)

    def _find_gpu(self) -> GpuReading | None:
        """The reading of this machine's GPU, else the last one that the run recorded, else None."""
        here = None if self._place or self._reading is None else self._reading.gpu
        if here or not (self._state and self._state.gpu):
            return here
        from codex_tui.machine.gpu import as_reading

        return as_reading(self._state.gpu)

    def _explain_gone(self) -> str:
        """Why a GPU that this machine had can no longer be read, "" if it can or there was none."""
        reading = self._reading
        return clean(reading.gpu_reason).rstrip(".") if self._had_gpu and reading and not reading.gpu else ""

    def _explain_age(self) -> str:
        """From when the readings are, if the run can't be reached now; else ""."""
        gpu = self._state.gpu if self._state else None
        return "" if self._is_reachable or gpu is None else f"From {format_moment(gpu.time)}"

    def _format_line(self, width: int) -> Content:
        if gpu := self._find_gpu():
            parts = [
                line(("VRAM ", MUTED), f"{figures.format_gib(gpu.used_mib)} / {figures.format_gib(gpu.total_mib)} GiB")
            ]
            parts += map(line, list_values(gpu))
            parts += [line((f"throttled: {reason}", "bold $warning")) for reason in gpu.throttle]
            parts += [line((f"{name} ", MUTED), *numbers[1:2]) for name, *numbers in self._list_others()]
            parts.append(line((clean(gpu.name), MUTED)))
            warning = self._explain_gone() or self._explain_age()
            parts = [*([line((warning, "bold $warning"))] if warning else []), *parts]
            parts += [line((f"on {clean(self._place)}", MUTED))] if self._place else []
        elif self._place:
            parts = list(self._elsewhere_rows(width))
        else:
            parts = [line(("no GPU", MUTED)), *self._format_machine()]
        return fit_parts(parts, width)

    def _gpu_rows(self, gpu: GpuReading, width: int, height: int) -> Iterator[Content]:
        yield line((clean(gpu.name), STRONG), (f" on {clean(self._place)}" if self._place else "", MUTED))
        if age := self._explain_age():
            yield line((age, "bold $warning"))
        gone = self._explain_gone()
        if gone:  # the readings below are old
            yield from line((f"Recorded by the run; {gone}.", "bold $warning")).wrap(width)
        yield from draw_memory(gpu, self._find_peak(), width)
        yield from self._probe_rows(width)
        for name, *numbers in self._list_others():
            yield fit_parts([line((f"{name} ", MUTED), numbers[0]), *map(line, numbers[1:])], width)
        tall = max(1, min(MAX_CURVE_ROWS, (height - 5) // len(CURVES)))
        for name, figure, top in (
            ("temperature", format_temperature(gpu), 100.0),
            ("utilisation", format_use(gpu), 100.0),
            ("power", format_power(gpu), gpu.power_limit),
            ("sm_clock", f"{gpu.sm_clock:,} MHz" if gpu.sm_clock is not None else "", gpu.max_sm_clock),
        ):
            if figure:
                hot = name == "temperature" and (gpu.temperature or 0) >= HOT_CELSIUS
                label = ((figure + (" hot" if hot else "")).ljust(14), "bold $warning" if hot else "")
                yield from self._curve_rows(line(label), name, top, width, tall)
        if gpu.throttle:
            yield line((f"Throttled: {', '.join(gpu.throttle)}", "bold $warning"))
        if self._place:
            yield line(("It is no card of this machine.", MUTED))
        elif self._reading and self._reading.gpu:
            yield fit_parts(self._format_machine(), width)
        elif not gone:
            yield line(("Recorded by the run. No GPU found.", MUTED))

    def _list_others(self) -> Iterator[list[str]]:
        """Yield the name of each further card of the run, and what the trainer recorded of it last."""
        from codex_tui.machine.gpu import as_reading

        for other in self._state.other_gpus if self._state else ():
            gpu = as_reading(other)
            memory = f"{figures.format_gib(gpu.used_mib)} / {figures.format_gib(gpu.total_mib)} GiB"
            yield [f"Card {other.card + 1}", memory, *list_values(gpu)]

    def _format_machine(self) -> list[Content]:
        reading = self._reading
        assert reading is not None
        memory = f"{figures.format_gib(reading.ram_used_mib)} / {figures.format_gib(reading.ram_total_mib)} GiB"
        busy = [line(("CPU ", MUTED), f"{round_percent(reading.cpu_percent)} %")] if self._live else []
        return [*busy, line(("RAM ", MUTED), memory)]

    def _elsewhere_rows(self, width: int) -> Iterator[Content]:
        yield from line((f"The run is on {clean(self._place)} and records no GPU now.", MUTED)).wrap(width)
        yield from self._trainer_rows()

    def _machine_rows(self, width: int, height: int) -> Iterator[Content]:
        reading = self._reading
        assert reading is not None
        reason = clean(reading.gpu_reason).rstrip(".")
        yield from line((f"No GPU: {reason}." if reason else "No GPU.", MUTED)).wrap(width)
        if height > 6:
            yield Content("")
        tall = max(1, min(MAX_CURVE_ROWS, (height - 6) // 2))
        used, total = reading.ram_used_mib, reading.ram_total_mib
        room = max(4, min(40, width - 24))
        if self._live:
            cpu = round_percent(reading.cpu_percent)
            yield line(("CPU  ", MUTED), figures.draw_bar(cpu / 100, room), f"  {cpu:3} %")
            yield from _indent(figures.draw_history(self._history["cpu"], room, 100.0, height=tall))
        level = figures.draw_bar(used / total if total else 0, room)
        yield line(("RAM  ", MUTED), level, f"  {figures.format_gib(used)} / {figures.format_gib(total)} GiB")
        if self._live and tall > 1:
            yield from _indent(figures.draw_history(self._history["ram"], room, total, height=tall))
        yield from self._trainer_rows()

    def _trainer_rows(self) -> Iterator[Content]:
        memory = self._state.memory if self._state else None
        if memory and memory.host_mib:
            label = "Trainer RAM at the end: " if self._ended else "Trainer RAM: "
            yield line((label, MUTED), f"{figures.format_gib(memory.host_mib)} GiB")

    def _curve_rows(self, label: Content, name: str, top: float | None, width: int, tall: int) -> Iterator[Content]:
        """`label` with the curve of `name` at its right, in `tall` rows. The last row is blank if there are several."""
        values = self._history[name]
        room = max(0, min(60, width - label.cell_length - 1))
        low = MIN_CURVE_CELSIUS if name == "temperature" else 0.0
        highest = top or max((value for value in values if value is not None), default=0.0)
        rows = figures.draw_history(values, room, highest, low=low, height=max(1, tall - 1))
        blank = Content(" " * label.cell_length)
        yield from (line(blank if row else label, " ", dots) for row, dots in enumerate(rows))
        if tall > 1:
            yield Content("")

    def _probe_rows(self, width: int) -> Iterator[Content]:
        """The memory that the longest row needed before step 1, beside the forecast."""
        probe = self._state.probe if self._state else None
        if probe is None or probe.peak_reserved_mib is None:
            return
        used = probe.peak_reserved_mib + (probe.context_mib or 0)
        parts = [line(("     probed ", MUTED), f"{figures.format_gib(used)} GiB")]
        for name, value in (("forecast ", probe.forecast_mib), ("limit ", probe.limit_mib)):
            if value:
                parts.append(line((name, MUTED), figures.format_gib(value)))
        yield fit_parts(parts, width, "  ")

    def _find_peak(self) -> float | None:
        memory = self._state.memory if self._state else None
        return memory.peak_reserved_mib if memory else None


def _indent(rows: list[Content]) -> Iterator[Content]:
    return (line("     ", row) for row in rows)
