"""From where a resume goes on: looked for before it starts, so that nothing is trained again without a word."""

from __future__ import annotations

from typing import NamedTuple

from codex_tui.base.errors import BadInput, CodexError
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory


class ResumePoint(NamedTuple):
    """`step` is 0 for the start; `damaged` says what is wrong with newer checkpoints, "" where nothing is."""

    step: int
    damaged: str = ""

    @property
    def start(self) -> str:
        return f"from step {self.step:,}" if self.step else "from the start"


class NoWholeCheckpoint(CodexError):
    """No checkpoint is left that is whole: to begin anew is the person's decision."""


def find_resume_point(run: RunDirectory, *, from_start: bool = False) -> ResumePoint:
    """Reads the checkpoints, the newest first, until one is whole.

    Raises NoWholeCheckpoint where none is, unless `from_start`; BadInput where that is asked for and one is.
    """
    wrong: list[str] = []
    for path, file in checkpoints.judged(run.checkpoints):
        step = checkpoints.step_of(path)
        if not file:
            if from_start:
                raise BadInput(
                    f"{run.name} has a whole checkpoint, of step {step:,}, and goes on from there.",
                    f"Leave --from-start out, or begin a new run: codex-tui train {run.profile}",
                )
            return ResumePoint(step, " ".join(wrong))
        wrong.append(f"The checkpoint of step {step:,} is damaged ({file}).")
    damaged = " ".join(wrong)
    if damaged and not from_start:
        raise NoWholeCheckpoint(
            f"{damaged} There is no whole one to go on from.",
            f"Begin anew all the same, what is damaged being kept: codex-tui resume {run.name} --from-start",
        )
    return ResumePoint(0, damaged)
