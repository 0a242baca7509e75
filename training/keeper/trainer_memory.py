"""The GPU memory of the run's own trainer, from its events.

A parked run needs this much free memory to come back. Where the driver lists no programs (WSL2), it also tells how much
of the memory in use belongs to other programs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from training.contract import events as ev
from training.contract import files

# msgspec writes the type first.
_LINES = (b'{"type":"started"', b'{"type":"probe"', b'{"type":"memory"')
_decoder = msgspec.json.Decoder(ev.Started | ev.Probe | ev.Memory)


class TrainerMemory:
    """Follows the events of a run from their present end.

    `held_mib` is the memory of the trainer that runs now, and `needed_mib` the most that the newest attempt with a
    measurement has held, both with the CUDA context. They are None until a trainer has measured on a GPU.
    """

    def __init__(self, path: Path) -> None:
        self._offset = _read_size(path)
        self._context_mib = 0.0
        self.held_mib: float | None = None
        self.needed_mib: float | None = None

    def poll(self, path: Path) -> None:
        """Read the events that are new since the last call. `path` is where they are now, if the run was renamed."""
        with suppress(OSError), files.open_file(path) as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                if line.startswith(_LINES):
                    with suppress(ValueError):
                        self._add(_decoder.decode(line))

    def _add(self, event: ev.Started | ev.Probe | ev.Memory) -> None:
        if isinstance(event, ev.Started):
            self.held_mib = None
            return
        if isinstance(event, ev.Probe) and event.context_mib is not None:
            self._context_mib = event.context_mib
        if event.peak_reserved_mib is not None:
            peak = event.peak_reserved_mib + self._context_mib
            is_first = self.held_mib is None
            # The allocator may free blocks, but a peak that comes again must not look like another program.
            self.held_mib = peak if self.held_mib is None else max(self.held_mib, peak)
            self.needed_mib = self.held_mib if is_first else max(self.needed_mib or 0.0, self.held_mib)


def _read_size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return 0
