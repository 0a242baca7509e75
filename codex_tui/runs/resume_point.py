"""Finds the step that a resume continues from, before it starts, so that the person learns if work was lost."""

from __future__ import annotations

from typing import NamedTuple

from codex_tui.base.errors import NO_CHECKPOINT, BadInput, CodexError
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory


class ResumePoint(NamedTuple):
    """`step` is 0 for the start. `damaged` names the newer checkpoints that are damaged, "" if there are none."""

    step: int
    damaged: str = ""

    @property
    def start(self) -> str:
        return f"from step {self.step:,}" if self.step else "from the start"


class NoWholeCheckpoint(CodexError):
    """All checkpoints are damaged. The person must decide whether to start over."""

    exit_code = NO_CHECKPOINT


def find_resume_point(run: RunDirectory, *, from_start: bool = False) -> ResumePoint:
    """Read the checkpoints, newest first, until one is whole.

    Raises NoWholeCheckpoint if all are damaged and `from_start` is False. Raises BadInput if `from_start` is True and
    there is a whole one.
    """
    problems: list[str] = []
    for path, file in checkpoints.check_each(run.checkpoints):
        step = checkpoints.parse_step(path)
        if not file:
            if from_start:
                raise BadInput(
                    f"{run.name} has a whole checkpoint at step {step:,}, so it can't start over.",
                    f"Leave out --from-start, or start a new run: codex-tui train {run.profile}",
                )
            return ResumePoint(step, " ".join(problems))
        problems.append(f"The checkpoint of step {step:,} is damaged ({file}).")
    damaged = " ".join(problems)
    if damaged and not from_start:
        raise NoWholeCheckpoint(
            f"{damaged} No whole checkpoint is left.",
            f"Start over and keep the damaged ones: codex-tui resume {run.name} --from-start",
        )
    return ResumePoint(0, damaged)
