"""The GPU now, with the last minutes beside it; on a machine without one, its CPU and memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.core.run_state import RunState
from codex_tui.core.text import clean
from codex_tui.widgets import figures
from codex_tui.widgets.hints import Hint
from codex_tui.widgets.ink import MUTED, STRONG, fitting, line, to_strips
from codex_tui.widgets.painted import Painted

if TYPE_CHECKING:  # reading it means psutil and NVML, which the first paint does without
    from codex_tui.core.gpu import GpuReading, Reading, Sampler

HISTORY = 120  # readings kept for the small curves
COOL = 30.0  # °C where the curve of the temperature begins
HOT = 83  # °C at which most cards begin to slow down


class GpuPanel(Painted, can_focus=True):
    """A row of height shows the essence; more height shows all. `feed` what was read, `show` what the run recorded.

    While nothing trains, small changes are not shown: a panel that nobody needs must not send a byte.
    """

    def __init__(self) -> None:
        super().__init__(id="gpu")
        self._reading: Reading | None = None
        self._state: RunState | None = None
        self._sampler: Sampler | None = None
        self._live = False
        self._history: dict[str, deque[float | None]] = {
            name: deque(maxlen=HISTORY) for name in ("temperature", "utilisation", "power", "sm_clock", "cpu")
        }

    @property
    def has_reading(self) -> bool:
        return self._reading is not None

    def hints(self) -> list[Hint]:
        return []

    def show(self, state: RunState) -> None:
        """Takes the peak, and at first the history, from what the trainer recorded."""
        first = self._state is None
        self._state = state
        if first:
            for event in list(state.gpu_history)[-HISTORY:]:
                for name in ("temperature", "utilisation", "power", "sm_clock"):
                    self._history[name].append(getattr(event, name))
        self.repaint()

    async def sample(self, live: bool) -> None:
        """Reads the machine in a thread: a driver that starts up may take its time."""
        if self._sampler is None:
            self._sampler = await asyncio.to_thread(_make_sampler)
        reading = await asyncio.to_thread(self._sampler.read)
        if self.is_attached:
            self.feed(reading, live)

    def feed(self, reading: Reading, live: bool) -> None:
        """`live`: a run is training, so every change matters."""
        if not live and not self._live and self._reading is not None and not _notable(self._reading, reading):
            return
        self._reading, self._live = reading, live
        if live:
            self._history["cpu"].append(reading.cpu_percent)
            for name in ("temperature", "utilisation", "power", "sm_clock"):
                self._history[name].append(getattr(reading.gpu, name) if reading.gpu else None)
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if self._reading is None:
            return to_strips(self, [line(("Looking for a GPU …", MUTED))], width, height)
        if height == 1:
            return to_strips(self, [self._essence(width)], width, 1)
        rows = self._gpu_rows(width) if self._reading.gpu else self._machine_rows(width, height)
        return to_strips(self, rows, width, height)

    def _essence(self, width: int) -> Content:
        reading = self._reading
        assert reading is not None
        if gpu := reading.gpu:
            parts = [line(("VRAM ", MUTED), f"{figures.gib(gpu.used_mib)} / {figures.gib(gpu.total_mib)} GiB")]
            parts += [line(f"{value}") for value in (_degrees(gpu), _busy(gpu), _watts(gpu)) if value]
            parts += [line((f"held back: {reason}", "bold $warning")) for reason in gpu.throttle]
            parts.append(line((clean(gpu.name), MUTED)))
        else:
            parts = [line(("no GPU", MUTED)), *self._machine()]
        return fitting(parts, width)

    def _gpu_rows(self, width: int) -> Iterator[Content]:
        reading = self._reading
        assert reading is not None and reading.gpu is not None
        gpu = reading.gpu
        yield line((clean(gpu.name), STRONG))
        yield from _memory_rows(gpu, self._peak(), width)
        for name, figure, top in (
            ("temperature", _degrees(gpu), 100.0),
            ("utilisation", _busy(gpu), 100.0),
            ("power", _watts(gpu), gpu.power_limit or 0.0),
            ("sm_clock", f"{gpu.sm_clock:,} MHz" if gpu.sm_clock is not None else "", float(gpu.max_sm_clock or 0)),
        ):
            if figure:
                hot = name == "temperature" and (gpu.temperature or 0) >= HOT
                yield self._history_row(
                    name, figure + (" hot" if hot else ""), top, width, "bold $warning" if hot else ""
                )
        if gpu.throttle:
            yield line((f"Held back: {', '.join(gpu.throttle)}", "bold $warning"))
        yield fitting(self._machine(), width)

    def _machine(self) -> list[Content]:
        reading = self._reading
        assert reading is not None
        memory = f"{figures.gib(reading.ram_used_mib)} / {figures.gib(reading.ram_total_mib)} GiB"
        busy = [line(("CPU ", MUTED), f"{_tidy(reading.cpu_percent)} %")] if self._live else []
        return [*busy, line(("RAM ", MUTED), memory)]

    def _machine_rows(self, width: int, height: int) -> Iterator[Content]:
        reading = self._reading
        assert reading is not None
        reason = clean(reading.gpu_reason).rstrip(".")
        yield from line((f"No GPU: {reason}." if reason else "No GPU.", MUTED)).wrap(width)
        if height > 6:
            yield Content("")
        used, total = reading.ram_used_mib, reading.ram_total_mib
        room = max(4, min(40, width - 24))
        if self._live:
            cpu = _tidy(reading.cpu_percent)
            yield line(("CPU  ", MUTED), figures.bar(cpu / 100, room), f"  {cpu:3} %")
            yield line("     ", figures.sparkline(self._history["cpu"], room, 100.0))
        level = figures.bar(used / total if total else 0, room)
        yield line(("RAM  ", MUTED), level, f"  {figures.gib(used)} / {figures.gib(total)} GiB")
        memory = self._state.memory if self._state else None
        if memory and memory.host_mib:
            yield line(("The trainer's memory ", MUTED), f"{figures.gib(memory.host_mib)} GiB")

    def _history_row(self, name: str, figure: str, top: float, width: int, style: str = "") -> Content:
        label = figure.ljust(14)
        room = max(0, min(60, width - len(label) - 1))
        low = COOL if name == "temperature" else 0.0
        return line((label, style), " ", figures.sparkline(self._history[name], room, top, low))

    def _peak(self) -> float | None:
        memory = self._state.memory if self._state else None
        return memory.peak_reserved_mib if memory else None


def _make_sampler() -> Sampler:
    from codex_tui.core.gpu import Sampler

    return Sampler()


def _memory_rows(gpu: GpuReading, peak: float | None, width: int) -> Iterator[Content]:
    if gpu.used_mib is None or not gpu.total_mib:
        yield line(("VRAM  the driver does not say", MUTED))
        return
    figure = f"  {figures.gib(gpu.used_mib)} / {figures.gib(gpu.total_mib)} GiB"
    fraction = gpu.used_mib / gpu.total_mib
    full = fraction > 0.95
    room = max(4, min(60, width - 5 - len(figure)))
    cells = figures.bar(fraction, room, "$warning" if full else "$primary", peak / gpu.total_mib if peak else None)
    yield line(("VRAM ", MUTED), cells, figure)
    if peak or full:
        words = f"     the run's peak {figures.gib(peak)} GiB" if peak else "     "
        yield line((words, MUTED), ("  nearly full" if full else "", "bold $warning"))


def _degrees(gpu: GpuReading) -> str:
    return f"{gpu.temperature} °C" if gpu.temperature is not None else ""


def _busy(gpu: GpuReading) -> str:
    return f"{gpu.utilisation} % busy" if gpu.utilisation is not None else ""


def _watts(gpu: GpuReading) -> str:
    if gpu.power is None:
        return ""
    return f"{gpu.power:.0f} / {gpu.power_limit:.0f} W" if gpu.power_limit else f"{gpu.power:.0f} W"


def _tidy(percent: float) -> int:
    """To the next 5: the machine's load trembles, and each digit costs bytes."""
    return round(percent / 5) * 5


def _notable(before: Reading, now: Reading) -> bool:
    if (before.gpu is None) != (now.gpu is None) or before.gpu_reason != now.gpu_reason:
        return True
    if abs(before.ram_used_mib - now.ram_used_mib) > 0.05 * now.ram_total_mib:
        return True
    if before.gpu is None or now.gpu is None:
        return False
    return (
        abs((before.gpu.temperature or 0) - (now.gpu.temperature or 0)) >= 5
        or abs((before.gpu.utilisation or 0) - (now.gpu.utilisation or 0)) >= 40
        or abs((before.gpu.used_mib or 0) - (now.gpu.used_mib or 0)) > 0.05 * (now.gpu.total_mib or 1)
    )
