"""A dataset for the data screen, and what one waits for there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from codex_tui.data.target import Target
from codex_tui.ui.app import CodexApp
from codex_tui.ui.data.screen import DataScreen
from support.pilot import screen_text, until

SIZE = (120, 36)
PROFILE = '[model]\nname = "demo:llama"\nmax_seq_length = 40\n[dataset]\neval_fraction = 0.1\n'
TOPICS = ("roof", "dock", "tower", "yard", "gate", "bridge", "cellar", "garage", "mall", "lab")


def rows(count: int = 40) -> list[str]:
    """Among them two bad ones, a duplicate, one that is cut and one that loses its answer."""
    found = [
        {
            "instruction": f"What comes {number} at the {TOPICS[number % 10]}?",
            "response": f"Hold {TOPICS[number % 7]} {number}.",
            "source": f"guide {number}",
        }
        for number in range(count)
    ]
    found[4] = found[2]
    found[6]["response"] = " ".join(f"word{number}" for number in range(60))
    found[8]["instruction"] = " ".join(f"ask{number}" for number in range(50))
    texts = [json.dumps(row) for row in found]
    texts[10] = '{"instruction": "broken, "response": 1}'
    texts[12] = json.dumps({"instruction": "No answer here."})
    return texts


def app_on(dataset: Path, profile: Path | None) -> CodexApp:
    names = [str(dataset)]
    return CodexApp(data=Target.from_profile(profile, names) if profile else Target.from_files(names))


def screen_of(pilot: Pilot[Any]) -> DataScreen:
    assert isinstance(pilot.app.screen, DataScreen)
    return pilot.app.screen


async def counted(pilot: Pilot[Any]) -> None:
    """All tokens are counted, and the row is here."""

    def ready() -> bool:
        view = screen_of(pilot).view
        return bool(view.overview and view.overview.tokens and view.reader and view.reader.row and not view.works)

    await until(pilot, ready)


async def see(pilot: Pilot[Any], *texts: str) -> str:
    await until(pilot, lambda: all(text in screen_text(pilot.app) for text in texts))
    return screen_text(pilot.app)
