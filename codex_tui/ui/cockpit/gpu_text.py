"""The readings of a GPU in words and bars, and which changes of them are worth a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import MUTED, line

if TYPE_CHECKING:
    from codex_tui.machine.gpu import GpuReading, Reading


def draw_memory(gpu: GpuReading, peak: float | None, width: int) -> Iterator[Content]:
    if gpu.used_mib is None or not gpu.total_mib:
        yield line(("VRAM  not reported by the driver", MUTED))
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


def format_temperature(gpu: GpuReading) -> str:
    return f"{gpu.temperature} °C" if gpu.temperature is not None else ""


def format_use(gpu: GpuReading) -> str:
    return f"{gpu.utilisation} % busy" if gpu.utilisation is not None else ""


def format_power(gpu: GpuReading) -> str:
    if gpu.power is None:
        return ""
    return f"{gpu.power:.0f} / {gpu.power_limit:.0f} W" if gpu.power_limit else f"{gpu.power:.0f} W"


def list_values(gpu: GpuReading) -> list[str]:
    """List what the driver reports of temperature, use and power."""
    return [value for value in (format_temperature(gpu), format_use(gpu), format_power(gpu)) if value]


def round_percent(percent: float) -> int:
    """Round to a multiple of 5. The load changes all the time, and each redrawn digit is sent to the terminal."""
    return round(percent / 5) * 5


def differs_enough(before: Reading, now: Reading) -> bool:
    """Whether an idle panel should be drawn again."""
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
