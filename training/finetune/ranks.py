"""Ranks: the processes that train one run together, each on a card of its own. torchrun starts them.

Rank 0 is the main one: it alone writes the run's files. The ranks talk in two ways. Gradients go over the default
process group, on the cards. Everything else goes over a group of its own on the CPU, which may wait for hours: so a
rank can wait for another one that asks the model questions, and costs nothing meanwhile.

Here are no imports of torch at the top, because a trainer checks the dataset before it loads the libraries.
"""

from __future__ import annotations

import copy
import json
import os
import pickle
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile

T = TypeVar("T")

LOST_ANOTHER = 75
"""The exit code of a rank that ends because another one has ended, or because the run has nothing left to train."""
POLL_SECONDS = 0.25
LOSS_SECONDS = 1.0  # in which the ranks of a node see that another one has ended
NODE_LOSS_SECONDS = 15.0  # in which they are ended because one of another node has ended
GRADIENTS_TIMEOUT = timedelta(minutes=30)
CONTROL_TIMEOUT = timedelta(days=30)


class Ranks:
    """This process, `number`, among the `count` processes that train together. `local` is its number among those on
    this machine, which is node `node` of the run. With one process, all methods do nothing and return at once, so that
    no caller needs to ask."""

    def __init__(self, number: int = 0, count: int = 1, local: int = 0, node: int = 0, nodes: int = 1) -> None:
        self.number, self.count, self.local = number, count, local
        self._node, self.nodes = node, nodes
        self._group: Any = None
        self._identities: dict[int, ProcessIdentity] = {}  # of the ranks on this node
        self._has_left = False

    @classmethod
    def from_environ(cls) -> Ranks:
        """Return the rank that torchrun's variables describe. Each rank sees one card alone, so libraries must take
        the first one."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK", "GROUP_WORLD_SIZE")
        ranks = cls(*(int(os.environ[name]) for name in names))
        os.environ["LOCAL_RANK"] = "0"
        return ranks

    @property
    def is_main(self) -> bool:
        return self.number == 0

    def join(self) -> None:
        """Wait for the other ranks, and watch from now on that those of this node live. torchrun's processes watch the
        other nodes."""
        if self.count == 1:
            return
        import torch
        from torch import distributed

        if torch.cuda.is_available():
            from accelerate.utils import check_cuda_p2p_ib_support

            if not check_cuda_p2p_ib_support():  # such as two RTX 4090: accelerate then demands both
                os.environ.update(NCCL_P2P_DISABLE="1", NCCL_IB_DISABLE="1")
            torch.cuda.set_device(0)
        else:  # transformers loads an optimizer's state to "cpu:0", which torch alone can't do
            torch.serialization.register_package(5, lambda _: None, _restore_on_cpu)
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")  # transformers has no other name yet
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=GRADIENTS_TIMEOUT)
        self._group = distributed.new_group(backend="gloo", timeout=CONTROL_TIMEOUT)
        everyone = enumerate(self.gather((self._node, ProcessIdentity.current())))
        self._identities = {number: identity for number, (node, identity) in everyone if node == self._node}
        threading.Thread(target=self._watch, name="ranks", daemon=True).start()

    def agree(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set on any rank. All ranks must call this, and all get the same."""
        if self.count == 1:
            return flags
        import torch
        from torch import distributed

        values = torch.tensor(flags, dtype=torch.uint8)
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._group)
        return tuple(map(bool, values.tolist()))

    def barrier(self) -> None:
        """Wait until all ranks are here."""
        self.agree(False)

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value, group=self._group)
        return values

    def share(self, value: T) -> T:
        """Return rank 0's value."""
        return self.gather(value if self.is_main else None)[0]  # type: ignore[return-value]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block on rank 0, then on the first rank of each other node, then on all others. These find in the
        cache what an earlier one has put there, whether the nodes share their cache or not."""
        turn = 0 if self.is_main else 1 if self.local == 0 else 2
        for _ in range(turn):
            self.barrier()
        yield
        for _ in range(turn, 2):
            self.barrier()

    def each(self, work: Callable[[], None]) -> None:
        """Do `work` on every rank. If it raises an error on any rank, every rank raises one."""
        error: Exception | None = None
        try:
            work()
        except Exception as raised:  # noqa: BLE001  it is raised again below
            error = raised
        others = self.gather(_make_portable(error)) if self.count > 1 else []
        if failed := error or next(filter(None, others), None):
            raise failed

    def main(self, work: Callable[[], None]) -> None:
        """Do `work` on rank 0 while the others wait. If it raises an error, every rank raises it."""
        self.each(work if self.is_main else lambda: None)

    def find_lost(self) -> int | None:
        """Return the number of a rank of this node that has ended; None while all live."""
        if self._has_left:
            return None
        return next((number for number, each in self._identities.items() if not each.is_alive()), None)

    def has_lost(self) -> bool:
        """Return whether another rank has ended. Waits some time for it: a connection breaks a little earlier. If one
        of another node has ended, this process is killed meanwhile."""
        deadline = time.monotonic() + (LOSS_SECONDS if self.nodes == 1 else NODE_LOSS_SECONDS)
        while self._identities and time.monotonic() < deadline:
            if self.find_lost() is not None:
                return True
            time.sleep(POLL_SECONDS / 5)
        return False

    def record_failure(self, failed: ev.Failed) -> None:
        """Leave the failure for torchrun's process, as `torch.distributed.elastic` wants it."""
        details = {"timestamp": str(int(time.time())), "py_callstack": failed.traceback}
        message = {"message": msgspec.json.encode(failed).decode(), "extraInfo": details}
        with suppress(OSError, KeyError):
            Path(os.environ["TORCHELASTIC_ERROR_FILE"]).write_text(json.dumps({"message": message}), encoding="utf-8")

    def leave(self) -> None:
        """Wait until all ranks have finished, and may end one by one."""
        if self.count > 1:
            self._has_left = True
            self.barrier()

    def _watch(self) -> None:
        """End this process when another rank has ended: the main thread may wait for it in a library, for ever."""
        stopped = threading.Event()
        while not self._has_left:
            if (lost := self.find_lost()) is not None:
                print(f"Rank {lost} has ended, so rank {self.number} ends too.", file=sys.stderr, flush=True)  # noqa: T201
                os._exit(LOST_ANOTHER)
            stopped.wait(POLL_SECONDS)


def require_gpu(profile: Profile, ranks: Ranks) -> None:
    """Raise TrainingFailure if a GPU that the profile asks for is not there, or not for each of several processes."""
    import torch

    on_gpu, device = torch.cuda.is_available(), profile.hardware.device
    others_on_gpu = any(ranks.agree(on_gpu))
    if on_gpu or (isinstance(device, str) and not others_on_gpu):
        return
    if isinstance(device, str):
        raise TrainingFailure(
            "bad_config",
            f"The run needs a GPU for each of its {ranks.count} processes, and CUDA has none for process "
            f"{ranks.number + 1}.",
            "Set launch.processes to the number of GPUs that `nvidia-smi -L` lists, or name them in hardware.device.",
        )
    raise TrainingFailure(
        "bad_config",
        f"CUDA can't use GPU number {device if isinstance(device, int) else device[ranks.local]}.",
        'Set hardware.device to a number that `nvidia-smi -L` lists, to "auto" (the first GPU) or to "cpu".',
    )


def _restore_on_cpu(storage: Any, location: str) -> Any:
    return storage if location.startswith("cpu") else None


def _make_portable(error: Exception | None) -> Exception | None:
    """Return `error`, or one with the same text if it can't be sent to another process."""
    try:
        pickle.dumps(copy.deepcopy(error))  # which makes the error anew from its arguments, as the other process will
    except Exception:  # noqa: BLE001  an error may hold anything
        return RuntimeError(str(error))
    return error
