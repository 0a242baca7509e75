"""The GPU now, with the last minutes beside it; on a machine without one, its CPU and memory."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean
from codex_tui.runs.state import RunState
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, STRONG, fit_parts, line, to_strips
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.painted import Painted

if TYPE_CHECKING:  # reading it means psutil and NVML, which the first paint does without
    from codex_tui.machine.gpu import GpuReading, Reading, Sampler

HISTORY = 120  # readings kept for the small curves
MEASURED = ("temperature", "utilisation", "power", "sm_clock")
TALLEST = 4  # rows of a small curve
COOL = 30.0  # °C where the curve of the temperature begins
PATIENCE = 5.0  # seconds until a driver that has not answered is said to hang
HANGS = "the NVIDIA driver does not answer"
HOT = 83  # °C at which most cards begin to slow down


class GpuPanel(Painted, can_focus=True):
    """A row of height shows the essence; more height shows all. `feed` what was read, `show` what the run recorded.

    While nothing trains, small changes are not shown: a panel that nobody needs must not send a byte.
    """

    def __init__(self, device: int = 0) -> None:
        super().__init__(id="gpu")
        self._device = device
        self._reading: Reading | None = None
        self._state: RunState | None = None
        self._ended = False
        self._sampler: Sampler | None = None
        self._live = False
        self._asked: asyncio.Future[Reading] | None = None  # of a driver that has not answered yet
        self._waits = False
        self._had_gpu = False
        self._history: dict[str, deque[float | None]] = {
            name: deque(maxlen=HISTORY) for name in (*MEASURED, "cpu", "ram")
        }

    @property
    def has_reading(self) -> bool:
        return self._reading is not None

    def hints(self) -> list[Hint]:
        return []

    def show(self, watched: WatchedRun) -> None:
        """Takes the peak, and at first the history, from what the trainer recorded. Where this machine has no GPU,
        the run's own readings are all there is."""
        first = self._state is None
        self._state, self._ended = watched.state, watched.ended
        if first:
            for event in list(self._state.gpu_history)[-HISTORY:]:
                for name in MEASURED:
                    self._history[name].append(getattr(event, name))
        self.repaint()

    async def sample(self, live: bool) -> None:
        """Reads the machine in a thread that nobody waits for: a driver may take its time, or hang."""
        if self._waits:
            return
        self._waits = True
        try:
            if self._asked is None:
                loop = asyncio.get_running_loop()
                self._asked = loop.create_future()
                threading.Thread(target=self._ask, args=(self._asked, loop), daemon=True).start()
            if (await asyncio.wait([self._asked], timeout=PATIENCE))[0]:
                reading, self._asked = self._asked.result(), None
            else:
                from codex_tui.machine.gpu import without_gpu

                reading = without_gpu(HANGS)
        finally:
            self._waits = False
        if self.is_attached:
            self.feed(reading, live)

    def _ask(self, answer: asyncio.Future[Reading], loop: asyncio.AbstractEventLoop) -> None:
        if self._sampler is None:
            self._sampler = _make_sampler(self._device)
        reading = self._sampler.read()
        with suppress(RuntimeError):  # the app has ended
            loop.call_soon_threadsafe(answer.set_result, reading)

    def feed(self, reading: Reading, live: bool) -> None:
        """`live`: a run is training, so every change matters."""
        if not live and not self._live and self._reading is not None and not _notable(self._reading, reading):
            return
        self._reading, self._live = reading, live
        self._had_gpu = self._had_gpu or reading.gpu is not None
        if live:
            self._history["cpu"].append(reading.cpu_percent)
            self._history["ram"].append(reading.ram_used_mib)
            source = reading.gpu or (self._state.gpu if self._state else None)
            for name in MEASURED:
                self._history[name].append(getattr(source, name) if source else None)
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if self._reading is None:
            return to_strips(self, [line(("Looking for a GPU …", MUTED))], width, height)
        if height == 1:
            return to_strips(self, [self._essence(width)], width, 1)
        gpu = self._gpu()
        rows = self._gpu_rows(gpu, width, height) if gpu else self._machine_rows(width, height)
        return to_strips(self, rows, width, height)

    def _gpu(self) -> GpuReading | None:
        """This machine's, else the one that the run was recorded on."""
        assert self._reading is not None
        if self._reading.gpu or not (self._state and self._state.gpu):
            return self._reading.gpu
        from codex_tui.machine.gpu import as_reading

        return as_reading(self._state.gpu)

    def _gone(self) -> str:
        """Why a card that was read here is read no more."""
        reading = self._reading
        return clean(reading.gpu_reason).rstrip(".") if self._had_gpu and reading and not reading.gpu else ""

    def _essence(self, width: int) -> Content:
        if gpu := self._gpu():
            parts = [
                line(("VRAM ", MUTED), f"{figures.format_gib(gpu.used_mib)} / {figures.format_gib(gpu.total_mib)} GiB")
            ]
            parts += [line(f"{value}") for value in (_degrees(gpu), _busy(gpu), _watts(gpu)) if value]
            parts += [line((f"held back: {reason}", "bold $warning")) for reason in gpu.throttle]
            parts.append(line((clean(gpu.name), MUTED)))
            parts = [*([line((self._gone(), "bold $warning"))] if self._gone() else []), *parts]
        else:
            parts = [line(("no GPU", MUTED)), *self._machine()]
        return fit_parts(parts, width)

    def _gpu_rows(self, gpu: GpuReading, width: int, height: int) -> Iterator[Content]:
        yield line((clean(gpu.name), STRONG))
        if self._gone():  # what is shown is old
            yield from line((f"Recorded by the run; {self._gone()}.", "bold $warning")).wrap(width)
        yield from _memory_rows(gpu, self._peak(), width)
        yield from self._probed(width)
        tall = max(1, min(TALLEST, (height - 5) // len(MEASURED)))
        for name, figure, top in (
            ("temperature", _degrees(gpu), 100.0),
            ("utilisation", _busy(gpu), 100.0),
            ("power", _watts(gpu), gpu.power_limit),
            ("sm_clock", f"{gpu.sm_clock:,} MHz" if gpu.sm_clock is not None else "", gpu.max_sm_clock),
        ):
            if figure:
                hot = name == "temperature" and (gpu.temperature or 0) >= HOT
                label = ((figure + (" hot" if hot else "")).ljust(14), "bold $warning" if hot else "")
                yield from self._beside(line(label), name, top, width, tall)
        if gpu.throttle:
            yield line((f"Held back: {', '.join(gpu.throttle)}", "bold $warning"))
        if self._reading and self._reading.gpu:
            yield fit_parts(self._machine(), width)
        elif not self._gone():
            yield line(("Recorded by the run; no GPU here.", MUTED))

    def _machine(self) -> list[Content]:
        reading = self._reading
        assert reading is not None
        memory = f"{figures.format_gib(reading.ram_used_mib)} / {figures.format_gib(reading.ram_total_mib)} GiB"
        busy = [line(("CPU ", MUTED), f"{_tidy(reading.cpu_percent)} %")] if self._live else []
        return [*busy, line(("RAM ", MUTED), memory)]

    def _machine_rows(self, width: int, height: int) -> Iterator[Content]:
        reading = self._reading
        assert reading is not None
        reason = clean(reading.gpu_reason).rstrip(".")
        yield from line((f"No GPU: {reason}." if reason else "No GPU.", MUTED)).wrap(width)
        if height > 6:
            yield Content("")
        tall = max(1, min(TALLEST, (height - 6) // 2))
        used, total = reading.ram_used_mib, reading.ram_total_mib
        room = max(4, min(40, width - 24))
        if self._live:
            cpu = _tidy(reading.cpu_percent)
            yield line(("CPU  ", MUTED), figures.draw_bar(cpu / 100, room), f"  {cpu:3} %")
            yield from _indented(figures.draw_history(self._history["cpu"], room, 100.0, height=tall))
        level = figures.draw_bar(used / total if total else 0, room)
        yield line(("RAM  ", MUTED), level, f"  {figures.format_gib(used)} / {figures.format_gib(total)} GiB")
        if self._live and tall > 1:
            yield from _indented(figures.draw_history(self._history["ram"], room, total, height=tall))
        memory = self._state.memory if self._state else None
        if memory and memory.host_mib:
            trainer = "The trainer held " if self._ended else "The trainer holds "
            yield line((trainer, MUTED), f"{figures.format_gib(memory.host_mib)} GiB")

    def _beside(self, label: Content, name: str, top: float | None, width: int, tall: int) -> Iterator[Content]:
        """The history of `name` right of its figure; `tall` rows, the last of them free where there are several."""
        values = self._history[name]
        room = max(0, min(60, width - label.cell_length - 1))
        low = COOL if name == "temperature" else 0.0
        highest = top or max((value for value in values if value is not None), default=0.0)
        rows = figures.draw_history(values, room, highest, low=low, height=max(1, tall - 1))
        blank = Content(" " * label.cell_length)
        yield from (line(blank if row else label, " ", dots) for row, dots in enumerate(rows))
        if tall > 1:
            yield Content("")

    def _probed(self, width: int) -> Iterator[Content]:
        """What the longest row took before step 1, beside what was forecast."""
        probe = self._state.probe if self._state else None
        if probe is None or probe.peak_reserved_mib is None:
            return
        taken = probe.peak_reserved_mib + (probe.context_mib or 0)
        parts = [line(("     probed ", MUTED), f"{figures.format_gib(taken)} GiB")]
        for name, value in (("forecast ", probe.forecast_mib), ("limit ", probe.limit_mib)):
            if value:
                parts.append(line((name, MUTED), figures.format_gib(value)))
        yield fit_parts(parts, width, "  ")

    def _peak(self) -> float | None:
        memory = self._state.memory if self._state else None
        return memory.peak_reserved_mib if memory else None


def _indented(rows: list[Content]) -> Iterator[Content]:
    return (line("     ", row) for row in rows)


def _make_sampler(device: int) -> Sampler:
    from codex_tui.machine.gpu import Sampler

    return Sampler(device)


def _memory_rows(gpu: GpuReading, peak: float | None, width: int) -> Iterator[Content]:
    if gpu.used_mib is None or not gpu.total_mib:
        yield line(("VRAM  the driver does not say", MUTED))
        return
    figure = f"  {figures.format_gib(gpu.used_mib)} / {figures.format_gib(gpu.total_mib)} GiB"
    fraction = gpu.used_mib / gpu.total_mib
    full = fraction > 0.95
    room = max(4, min(60, width - 5 - len(figure)))
    cells = figures.draw_bar(fraction, room, "$warning" if full else "$primary", peak / gpu.total_mib if peak else None)
    yield line(("VRAM ", MUTED), cells, figure)
    if peak or full:
        words = f"     the run's peak {figures.format_gib(peak)} GiB" if peak else "     "
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
