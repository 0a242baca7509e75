"""What the adapter of a run made of each row of the dataset, as `codex_tui.runs.measured_rows` reads it: by the number
of the row, so that the data screen lists the worst-learned rows first and shows each token's loss."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from codex_tui.runs.measured_rows import VERSION_WITHOUT_TOKENS, MeasuredRows, RowsHeader, read_row
from training.contract import checkpoints
from training.contract.inspect_messages import RenderedRow
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.formats import Unreadable
from training.dataset.index import RowIndex
from training.dataset.source import Source, sha256

NOT_MEASURED = -1


class TokenLoss(NamedTuple):
    """The losses of one token. `place` counts the tokens of its sequence."""

    place: int
    base: float
    adapter: float

    @property
    def probability(self) -> float:
        """The probability that the adapter gives to the token."""
        return math.exp(-max(0.0, self.adapter))


class Xray:
    """The measured rows of a run. `worst` lists their numbers, worst-learned first. `total` counts the rows that the
    run learned from or held out; `complete` says whether all of them were measured.

    `adapter_changed` and `data_changed` say whether the run or the dataset has changed since.
    """

    def __init__(self, rows: MeasuredRows, header: RowsHeader, source: Source, index: RowIndex) -> None:
        self.header = header
        self.adapter_changed = self.data_changed = False
        self._path = rows.path
        self._offsets = array("q", [NOT_MEASURED]) * len(index)
        self._adapter, self._base = array("d", bytes(8 * len(index))), array("d", bytes(8 * len(index)))
        self.total = 0
        places = _Places(source, index)
        for offset, row in rows:
            self.total = row.total
            file = row.file_number if self.has_tokens else places.find_file(row.file)
            if (number := places.find_row(file, row.line)) is not None:
                self._offsets[number] = offset
                self._adapter[number], self._base[number] = row.adapter.per_token, row.base.per_token
        self.complete = rows.complete
        measured = (number for number, offset in enumerate(self._offsets) if offset != NOT_MEASURED)
        self.worst = array("I", sorted(measured, key=self._adapter.__getitem__, reverse=True))

    @property
    def has_tokens(self) -> bool:
        """Whether the tokens of each row were measured, too."""
        return self.header.version > VERSION_WITHOUT_TOKENS

    @property
    def is_current(self) -> bool:
        """Whether another measurement would find the same."""
        return self.complete and self.has_tokens and not self.adapter_changed

    def find_losses(self, row: int) -> tuple[float, float] | None:
        """Return the loss per token of base and of the adapter; None if `row` was not measured."""
        if row >= len(self._offsets) or self._offsets[row] == NOT_MEASURED:
            return None
        return self._base[row], self._adapter[row]

    def read_tokens(self, row: int, rendered: RenderedRow, profile: Profile) -> list[list[TokenLoss]] | None:
        """Return the losses of the learned tokens, for each sequence of the row. Returns None if they don't fit: the
        row has other tokens now than when it was measured. `profile` is that of the run. Reads the file."""
        measured = read_row(self._path, self._offsets[row]) if self.find_losses(row) else None
        places = _list_learned_places(rendered, profile)
        if measured is None or not len(places) == len(measured.adapter_tokens) == len(measured.base_tokens):
            return None
        sequences = [*zip(places, measured.base_tokens, measured.adapter_tokens, strict=True)]
        if any(adapter and not len(learned) == len(base) == len(adapter) for learned, base, adapter in sequences):
            return None
        return [
            [TokenLoss(place, base / 100, adapter / 100) for place, base, adapter in zip(*parts, strict=False)]
            for parts in sequences
        ]


def read_xray(run: RunDirectory, source: Source, index: RowIndex, stop: Callable[[], bool]) -> Xray | None:
    """Read what was measured of the rows of `run`. `index` has the rows of `source`, its dataset. Returns None if
    nothing was measured. Call it in a thread."""
    rows = MeasuredRows(run)
    if rows.header is None:
        return None
    xray = Xray(rows, rows.header, source, index)
    if not xray.worst:
        return None
    xray.adapter_changed = _has_adapter_changed(run, rows.header)
    xray.data_changed = _has_data_changed(rows.header, source, index, stop)
    return xray


def _has_adapter_changed(run: RunDirectory, header: RowsHeader) -> bool:
    folder = checkpoints.find_chat_adapter(run, thorough=False)
    try:
        return folder is not None and checkpoints.compute_adapter_checksum(folder) != header.adapter
    except OSError:
        return False


def _has_data_changed(header: RowsHeader, source: Source, index: RowIndex, stop: Callable[[], bool]) -> bool:
    if not header.dataset:
        return False
    try:  # the index knows the checksum, but that of the copies where the app reads copies
        now = index.fingerprint(cancelled=stop) if index.source == source else sha256(source)
    except (OSError, Unreadable):
        return True
    return now is not None and now != header.dataset


def _list_learned_places(row: RenderedRow, profile: Profile) -> list[list[int]]:
    """List the places of the tokens that the run learned, for each sequence. The first token can't be learned."""
    limit, long_rows = profile.model.max_seq_length, profile.dataset.long_rows
    return [
        [place for start, end in sequence.spans for place in range(max(1, start), min(end, limit))]
        if long_rows == "cut" or sequence.tokens <= limit
        else []
        for sequence in row.sequences
    ]


class _Places:
    """Finds the number of a row by its file and its line. The rows of a file stand in the order of its lines."""

    def __init__(self, source: Source, index: RowIndex) -> None:
        self._index, self._last = index, -1
        files = range(len(source.files))
        self._starts = [bisect_left(range(len(index)), file, key=index.file) for file in [*files, len(files)]]
        self._labels = [source.label(file) for file in files]

    def find_file(self, label: str) -> int | None:
        """Return the only file with this name, for older measurements, which have no numbers of files."""
        return self._labels.index(label) if self._labels.count(label) == 1 else None

    def find_row(self, file: int | None, line: int) -> int | None:
        if file is None or file + 1 >= len(self._starts):
            return None
        start, end = self._starts[file], self._starts[file + 1]
        number = self._last + 1  # measured rows mostly follow each other
        if not (start <= number < end and self._index.line(number) == line):
            number = start + bisect_left(range(start, end), line, key=self._index.line)
        if number >= end or self._index.line(number) != line:
            return None
        self._last = number
        return number
