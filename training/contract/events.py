"""The events of a run: one JSON object a line in `RUN/events.jsonl`.

The trainer appends, and the keeper while no trainer lives; any number of viewers read, and none waits for another. A
line is one `os.write` to an O_APPEND descriptor, so lines never interleave. A last line without a newline is incomplete
and is not read yet. Readers ignore an unknown `type`, so that an older app can watch a newer trainer. Times are Unix
seconds of the producer: each attempt reads the clock once and adds the time since then. The clock may be set later
(WSL2 does so after every sleep). Memory is in MiB; a number that was not finite is `null` and named in `not_finite`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

# `events` has all of the events under one name: others use these from here too.
from training.contract.event_base import VERSION as VERSION
from training.contract.event_base import Count, Finite, Seconds
from training.contract.event_base import Event as Event
from training.contract.event_base import finite_or_none as finite_or_none
from training.contract.measurements import Eval as Eval
from training.contract.measurements import Gpu as Gpu
from training.contract.measurements import Memory as Memory
from training.contract.measurements import Metrics as Metrics
from training.contract.measurements import PassRate as PassRate
from training.contract.measurements import Probe as Probe
from training.contract.measurements import Sample as Sample

PhaseName = Literal[
    "loading", "tokenising", "probing", "sampling", "training", "answering", "cooling", "evaluating", "saving"
]
"""answering: the trainer is paused between two steps and answers the questions of viewers."""

FailureKind = Literal[
    "gpu_memory",
    "pinned_memory",
    "host_memory",
    "disk_full",
    "file_size_limit",
    "model_not_found",
    "gated_model",
    "offline",
    "bad_token",
    "bad_data",
    "bad_config",
    "driver_mismatch",
    "driver_lost",
    "missing_library",
    "nan_loss",
    "terminated",
    "unknown",
]

MemoryTask = Literal["loading", "probing", "training", "evaluating"]

HeldState = Literal["queued", "parked", "waiting", "healing"]
"""queued: waits for its turn on the card. parked: the card is lent, by a person or by a rule. waiting: something that
the run needs must come back first. healing: a remedy or a restart is being prepared."""

BY_HAND = "It waits until you bring it back: L, or codex-tui resume."
BY_HAND_OR_LEFT = (
    "It comes back when another program has used the card and left it (keeper.resume_lent), or when you bring it back: "
    "L, or codex-tui resume."
)
ENDS_BY_HAND = (BY_HAND, BY_HAND_OR_LEFT)
"""What ends a hold that a person asked for; see `RunConfig.park_ends`."""


class Started(Event, tag="started"):
    """A trainer process has started. The first attempt is 1; each resume adds one.

    `resume_step` is the step of the checkpoint that it continues from (0: from the start). Later metrics of earlier
    attempts are superseded.
    """

    attempt: int
    pid: int
    resume_step: int = 0


class Phase(Event, tag="phase"):
    """The current work of the trainer. `done` and `total` count `unit`s. `total` is None if it is not known."""

    name: PhaseName
    done: Count = 0
    total: Count | None = None
    unit: str = ""
    detail: str = ""


class Resolved(Event, tag="resolved"):
    """The settings that really run, since Unsloth may change some. `changed` maps a profile field, such as
    `training.optim`, to (requested value, actual value, reason). `train_sequences` are more than the training rows if
    the chat template changes earlier answers. `eval_steps` and `save_steps` are the steps between two evaluations and
    two checkpoints, `book_steps` those between two pass rates, 0 if there are none. `longest_row` is the tokens of the
    longest row before the cut, `train_tokens` those of all training sequences after it. Earlier trainers did not write
    these six."""

    total_steps: Count
    steps_per_epoch: Count
    train_rows: Count
    eval_rows: Count
    train_sequences: Count = 0
    dropped_rows: int = 0
    truncated_rows: int = 0
    longest_row: Count = 0
    eval_steps: Count = 0
    save_steps: Count = 0
    book_steps: Count = 0
    train_tokens: Count = 0
    trainable_parameters: int = 0
    total_parameters: int = 0
    device: str = "cpu"
    changed: dict[str, tuple[Any, Any, str]] = msgspec.field(default_factory=dict)


class Fitted(Event, tag="fitted"):
    """The run was fitted to its time limit: it ends after `total_steps`, of `planned_steps` that the profile asks for.

    It is written again each time that the measured speed changes the number. `deadline` is the time at which the
    adapter must be saved; None if the limit was lifted. `rows` counts the rows that these steps learn from, each as
    often as it is learned. `eval_steps`, `save_steps` and `book_steps` replace those of `Resolved`.
    """

    total_steps: Count
    planned_steps: Count
    deadline: Seconds | None = None
    rows: Count = 0
    eval_steps: Count = 0
    save_steps: Count = 0
    book_steps: Count = 0


class Checkpoint(Event, tag="checkpoint"):
    """A whole checkpoint is on disk; `path` is relative to the run directory. Writing it took `seconds`."""

    step: int
    path: str
    seconds: Finite | None = None


class Warned(Event, tag="warning"):
    message: str


class Heartbeat(Event, tag="heartbeat"):
    """A thread writes it every few seconds to show that the process is alive, even during a long step. `step` is the
    last finished one."""

    step: Count = 0


class Stopping(Event, tag="stopping"):
    """The trainer has read a stop request. It saves a checkpoint and the adapter next."""

    step: int


class Stopped(Event, tag="stopped"):
    step: int
    resumable: bool = True


class Done(Event, tag="done"):
    """All steps are done and the adapter is saved. `seconds` counts this attempt alone, from loading the model on.

    `adapter_step` is the step of the saved weights if it is not `step`, because an earlier evaluation was better.
    `reason` is one sentence if a time limit ended the run before all planned steps were done.
    """

    step: int
    seconds: Finite | None = None
    adapter_step: Count | None = None
    reason: str = ""


class OutOfMemory(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """What is known where the GPU's memory ran out, in MiB; the keeper chooses a remedy by it.

    `requested_mib` is the block that found no room, `allocated_mib` what the allocator had given out then. `limit_mib`
    and `context_mib` are those of `Probe`. `tokens` are those of the pass that failed. Its longest row is `line` of
    `file` with `row_tokens`; line 0 if that is not known. `largest_tokens` are those of the largest pass of the run,
    `longest_tokens` of its longest row, 0 before the rows were read. `offload_layers` layers were in host memory, and
    `expandable_segments` says whether the allocator's segments could grow. `pass_rows` rows of max_seq_length tokens
    may share a pass; earlier trainers did not write it.
    """

    task: MemoryTask
    requested_mib: Finite = 0.0
    allocated_mib: Finite = 0.0
    limit_mib: Finite | None = None
    context_mib: Finite = 0.0
    tokens: Count = 0
    file: str = ""
    line: Count = 0
    row_tokens: Count = 0
    largest_tokens: Count = 0
    longest_tokens: Count = 0
    offload_layers: Count = 0
    expandable_segments: bool = True
    pass_rows: Count = 0
    card: str = ""


class Failed(Event, tag="failed"):
    """`message` is one sentence for a person, `hint` says what to do, `traceback` is for developers. `memory` is known
    where the GPU's memory ran out."""

    kind: FailureKind
    message: str
    hint: str = ""
    traceback: str = ""
    step: int = 0
    memory: OutOfMemory | None = None


class Healed(Event, tag="healed"):
    """The attempt before failed or hung, and the next one goes on from `step` without the cause.

    `reason` says in one sentence what went wrong. `failed_step` is the step that did not end, or after which an
    evaluation failed. `changes` maps the profile fields that changed, such as `model.offload_layers`, to (value before,
    value now); a hang and a lost driver change none. `frees_mib` is how much less memory the run is forecast to need.
    `file`, `line` and `tokens` are those of the row that found no memory; line 0 if that is not known."""

    kind: Literal["gpu_memory", "hang", "driver"]
    reason: str
    step: Count = 0
    failed_step: Count = 0
    changes: dict[str, tuple[Any, Any]] = {}
    frees_mib: Finite = 0.0
    file: str = ""
    line: Count = 0
    tokens: Count = 0


class Held(Event, tag="held"):
    """No trainer runs. The keeper starts the next attempt by itself, or when it is asked to; see `training.keeper`.

    `reason` says in a sentence why, `ends` what ends it. `step` is the last saved step, `until` the time at which it
    ends if that is known. A later one replaces it, and `Started` ends it.
    """

    state: HeldState
    reason: str
    ends: str = ""
    step: Count = 0
    until: Seconds | None = None


AnyEvent = (
    Started
    | Phase
    | Resolved
    | Fitted
    | Metrics
    | Eval
    | Sample
    | PassRate
    | Memory
    | Probe
    | Gpu
    | Checkpoint
    | Warned
    | Heartbeat
    | Stopping
    | Stopped
    | Done
    | Failed
    | Healed
    | Held
)
