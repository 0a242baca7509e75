"""The lengths screen in tests: rows of many lengths, and what one waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from codex_tui.ui.lengths.screen import LengthsScreen
from support.data_screen import counted
from support.pilot import until

LENGTHS = [40, 128, 192, 256, 384, 512, 620]  # from which a person chooses: the last one is the longest row


def write_rows(path: Path) -> Path:
    """41 rows of 20 to 620 words. One has a question of 300 words."""
    sizes = [*[12] * 20, *[140] * 10, *[250] * 6, *[380] * 4]
    rows = [
        {"instruction": f"Ask {number}?", "response": " ".join(["word"] * size)} for number, size in enumerate(sizes)
    ]
    rows.append({"instruction": " ".join(["ask"] * 300), "response": " ".join(["word"] * 318)})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lengths_of(pilot: Pilot[Any]) -> LengthsScreen:
    assert isinstance(pilot.app.screen, LengthsScreen)
    return pilot.app.screen


async def opened(pilot: Pilot[Any], long_rows: str = "cut") -> LengthsScreen:
    """Open the lengths of the data screen, and wait until all figures are known."""
    await counted(pilot)
    await pilot.press("m")
    return await compared(pilot, long_rows)


async def compared(pilot: Pilot[Any], long_rows: str = "cut") -> LengthsScreen:
    """Wait until all figures are known."""

    def ready() -> bool:
        screen = pilot.app.screen
        choice = screen.choice if isinstance(screen, LengthsScreen) else None
        return bool(
            choice and choice.long_rows == long_rows and (choice.no_memory or choice.options[0].memory is not None)
        )

    await until(pilot, ready)
    return lengths_of(pilot)


def picked(pilot: Pilot[Any]) -> int:
    option = lengths_of(pilot).option
    assert option
    return option.max_seq_length


def notices(pilot: Pilot[Any]) -> list[str]:
    return [notification.message for notification in pilot.app._notifications]
