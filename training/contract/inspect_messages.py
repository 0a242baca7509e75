"""The messages of the inspect worker, which shows rows as the model sees them.

The app sends ShowRow, Tokenise and Cancel. The worker sends Loading, then InspectReady, then a RenderedRow for each
ShowRow. For all rows together it sends InspectProgress, then StatsReady or Cancelled.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from training.contract.event_base import Count
from training.contract.events import FailureKind
from training.contract.messages import Loading, Message, WorkerError, WorkerProtocol

RowCount = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""A number of rows, or the index of a row: the dataset's tables have 32 bits for it."""

RowSplit = Literal["train", "eval", "dropped", "bad", ""]


# Requests to the inspect worker


class ShowRow(Message, tag="row"):
    """Asks for one row. `index` counts all rows, good and bad. `max_seq_length` replaces the profile's value."""

    index: RowCount
    ids: bool = False
    max_seq_length: Count | None = None


class Tokenise(Message, tag="tokenise"):
    """Asks the worker to count the tokens of every row, in the background. The result stays in the cache."""


class Cancel(Message, tag="cancel"):
    """Cancels everything that runs in the background."""


# Answers of the inspect worker


class InspectReady(Message, tag="ready"):
    """The rows can be read. `kept`, `train_rows` and `eval_rows` are None while the scan of the rows is not finished.

    `scan` is the path of the finished scan. `why` says why the tokenizer can't be loaded, `hint` what to do about it,
    `kind` what kind of failure it is: rows then come without tokens.
    """

    rows: RowCount
    kept: RowCount | None = None
    train_rows: RowCount | None = None
    eval_rows: RowCount | None = None
    scan: str | None = None
    why: str = ""
    hint: str = ""
    kind: FailureKind | None = None


class Segment(msgspec.Struct):
    """A part of a sequence's text that is learned or not, and that is inside the cut or beyond it."""

    text: str
    learned: bool = False
    cut: bool = False


class RenderedSequence(msgspec.Struct):
    """A sequence of tokens that the model learns from.

    `spans` are the learned places: the first one, and the one after the last one. `learned_tokens` counts those before
    the cut. `ids` is only sent if the request asks for it: the id and the text of each token.
    """

    segments: list[Segment]
    tokens: Count
    spans: list[tuple[Count, Count]]
    learned_tokens: Count
    ids: list[tuple[Count, str]] | UnsetType = UNSET


class RenderedRow(Message, tag="row", kw_only=True):
    """One row as the model sees it.

    `file` is empty if the dataset has a single file. `problem` says why a row is bad; `text` is then its line if it is
    not JSON. `sequences` is empty without a tokenizer; `why` says why there is none. There are several if the chat
    template changes earlier answers. `split` is empty while it is not known.
    """

    index: RowCount
    file: str = ""
    line: Count
    raw: Any = None
    problem: str = ""
    text: str = ""
    shape: str | None = None
    sequences: list[RenderedSequence] = field(default_factory=list)
    max_seq_length: Count
    split: RowSplit = ""
    why: str = ""

    @property
    def tokens(self) -> int:
        """The tokens of all sequences, before the cut."""
        return sum(sequence.tokens for sequence in self.sequences)

    @property
    def learned_tokens(self) -> int:
        """The tokens that are learned after the cut."""
        return sum(sequence.learned_tokens for sequence in self.sequences)

    @property
    def truncated(self) -> bool:
        return any(sequence.tokens > self.max_seq_length for sequence in self.sequences)


class InspectProgress(Message, tag="progress"):
    more_follows = True
    what: Literal["scanning", "tokenising"]
    done: Count
    total: Count


class StatsReady(Message, tag="digest"):
    """The scan of all rows is at `scan` and their lengths are at `lengths`. `cached`: the lengths were there already.

    A path is None if that part was not made. `why`, `hint` and `kind` then are as in InspectReady.
    """

    scan: str | None
    lengths: str | None
    cached: bool = False
    why: str = ""
    hint: str = ""
    kind: FailureKind | None = None


class Cancelled(Message, tag="cancelled"):
    """A task in the background was cancelled, or there was none to cancel."""


InspectRequest = ShowRow | Tokenise | Cancel
InspectAnswer = Loading | InspectReady | RenderedRow | InspectProgress | StatsReady | Cancelled | WorkerError
INSPECT: WorkerProtocol[InspectRequest, InspectAnswer] = WorkerProtocol("inspect", InspectRequest, InspectAnswer)
