"""A keeper whose card, battery and clock are made up: `lending_keeper.py RUN WORLD [COMMAND...]`.

The file WORLD is JSON, and a test may change it at any time: {"card": {…}, "battery": [in use, percent], "time": Unix
seconds}. The card is that of `support.fake_nvml`. COMMAND starts a trainer instead of the real one. The rules look a
hundred times as often.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from support.fake_nvml import FakeNvml
from training.contract.power import Battery
from training.keeper import keeper, rule_watcher, rules, surroundings

run, world, *command = sys.argv[1:]


def read(key: str) -> Any:
    return json.loads(Path(world).read_text()).get(key)


def read_battery() -> Battery | None:
    return Battery(*battery) if (battery := read("battery")) else None


rule_watcher.LOOK_SECONDS, rule_watcher.SHOWN_SECONDS = 0.1, 0.3
rules.HOLD_SECONDS = 0.2
keeper.POLL_SECONDS = 0.02
surroundings.read_battery = read_battery
surroundings.read_time = lambda: read("time") or time.time()
surroundings.wsl = lambda: 0
FakeNvml(lambda: read("card") or {}).install()
sys.exit(keeper.keep(Path(run), *([command] if command else [])))
