"""What a keeper with a made-up card, battery and clock sees; see programs/lending_keeper.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BLENDER = [1 << 22, "blender", 2100]  # a pid that no process has
TRAINER = [0, "python3", 300]  # the keeper itself counts as the trainer


class World:
    """Each change replaces the file in one step. `programs` of a card are lists of pid, name and MiB."""

    def __init__(self, path: Path, **values: Any) -> None:
        self.path, self._values = path, values
        self.change()

    def change(self, **values: Any) -> None:
        self._values |= values
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self._values))
        new.replace(self.path)
