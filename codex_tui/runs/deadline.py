"""The deadline of a run that is resumed."""

from __future__ import annotations

import math
import time

from codex_tui.base.deadline import format_deadline
from codex_tui.base.errors import BadInput
from codex_tui.runs.outcome import explain_config_error
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory


def change_deadline(run: RunDirectory, until: float | None, step: int) -> None:
    """Write the deadline `until` into the config.json of `run`, which resumes from `step`. `math.inf` lifts the
    deadline, and None leaves it as it is.

    Raises BadInput if it is past and the run could only end. Then the person decides what to do: a run that is done
    can't be resumed. A run without an adapter gets that of its last checkpoint. Raises BadInput for a damaged
    config.json too.
    """
    try:
        config = RunConfig.read(run.config)
    except ConfigError as error:
        raise explain_config_error(run, error) from None
    if until is not None:
        config.until = None if math.isinf(until) else until
        config.write(run.config)
    elif config.until is not None and config.until <= time.time() and (run.has_adapter() or not step):
        has = "It has its adapter. " if run.has_adapter() else ""
        raise BadInput(
            f"The deadline of {run.name}, {format_deadline(config.until)}, is past.",
            f"{has}Train on with a later one: codex-tui resume {run.name} --until +2h. Or with none: --until never",
        )
