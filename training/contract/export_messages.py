"""The messages between the app and the export worker. See `training.contract.messages`.

The app sends DescribeBase, and the worker answers with BaseDescribed. The app sends Merge, and the worker answers with
Merging for each tensor, then Merged.
"""

from __future__ import annotations

from typing import Literal

from training.contract.events import Count
from training.contract.messages import Loading, Message, WorkerError, WorkerProtocol

BaseChoice = Literal["trained", "original"]
"""Which weights get the adapter, where the run loaded them in 4 bits: the 4-bit weights that the adapter was trained
on, or the original ones in 16 bits."""


class DescribeBase(Message, tag="describe"):
    """Asks what a merge would write. `base` is the folder of the model, or the name of the demo model. The worker reads
    only the names and sizes of the tensors."""

    base: str
    choice: BaseChoice


class Merge(Message, tag="merge"):
    """Asks for the merged model in the empty folder `folder`."""

    base: str
    choice: BaseChoice
    folder: str


class BaseDescribed(Message, tag="base"):
    """A merge that can be done. `fingerprint` changes with the files of the base, `size` counts the bytes of the merged
    weights, `adapted` the tensors that the adapter changes. `quantised`: the weights have 4 bits."""

    fingerprint: str
    size: Count
    tensors: Count
    adapted: Count
    parameters: Count
    dtype: str
    quantised: bool


class Merging(Message, tag="merging"):
    more_follows = True
    done: Count
    total: Count


class Merged(Message, tag="merged"):
    """The model is in its folder. `untied`: the adapter changes only one of two embeddings that the base shares, so
    the merged model has both."""

    files: list[str]
    untied: bool = False


ExportRequest = DescribeBase | Merge
ExportAnswer = Loading | BaseDescribed | Merging | Merged | WorkerError

EXPORT: WorkerProtocol[ExportRequest, ExportAnswer] = WorkerProtocol("export", ExportRequest, ExportAnswer)
