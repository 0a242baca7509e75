"""The values beside the loss of a step, such as its learning rate: one of each kind for each point of the curve."""

from __future__ import annotations

from array import array
from math import nan
from typing import Literal, get_args

from training.contract import events as ev
from training.history.series import NUMBER_BYTES

CurveName = Literal["learning rate", "gradient norm", "tokens/s", "VRAM", "temperature"]
CURVE_NAMES: tuple[CurveName, ...] = get_args(CurveName)


class Values:
    """Columns of numbers, as long as the loss curve. NaN where the events have no value."""

    def __init__(self) -> None:
        self.columns: dict[CurveName, array[float]] = {name: array("d") for name in CURVE_NAMES}

    def add(self, event: ev.Event, points: int) -> None:
        """Add the values of `event`. `points` is the length of the loss curve after it."""
        match event:
            case ev.Metrics():
                new = (event.learning_rate, event.grad_norm, event.tokens_per_second, None, None)
                for column, value in zip(self.columns.values(), new, strict=True):
                    del column[points - 1 :]
                    column.append(nan if value is None else value)
            case ev.Started():
                self.cut(points)
            case ev.Memory():
                self._set_last("VRAM", event.device_mib or event.reserved_mib)
            case ev.Gpu(card=0):
                self._set_last("VRAM", event.used_mib)
                self._set_last("temperature", event.temperature)

    def cut(self, points: int) -> None:
        for column in self.columns.values():
            del column[points:]

    def _set_last(self, name: CurveName, value: float | None) -> None:
        """The last value of a step counts. Before the first step there is no place for one."""
        if value is not None and self.columns[name]:
            self.columns[name][-1] = value

    def pack(self, first: int) -> bytes:
        """Return the values from point `first` on as bytes."""
        return b"".join(column[first:].tobytes() for column in self.columns.values())

    def unpack(self, first: int, data: bytes) -> None:
        """Replace all values from point `first` on."""
        self.cut(first)
        size = len(data) // len(CURVE_NAMES)
        for number, column in enumerate(self.columns.values()):
            column.frombytes(data[number * size : (number + 1) * size])


def count_bytes(points: int) -> int:
    """Return how many bytes `Values.pack` gives for so many points."""
    return NUMBER_BYTES * len(CURVE_NAMES) * points
