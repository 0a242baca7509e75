"""The beginning of the workers that answer requests about one run, one after the other: judge and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from training.contract.messages import Answer, Loading, Request
from training.contract.run_directory import RunDirectory
from training.job import environ
from training.job.job import Job, read_job
from training.workers.pipe import Pipe


def serve_run(
    pipe: Pipe[Request, Answer], path: Path, steps: int, answer: Callable[[RunDirectory, Job, Request], None]
) -> int:
    """Read the run at `path`, then call `answer` with each request. Loading has `steps` steps. Returns the exit code of
    the process."""
    try:
        pipe.send(Loading(detail="reading the run", done=0, total=steps))
        job = read_job(path)
        environ.prepare(job.profile, job.cache)
    except Exception as error:  # noqa: BLE001  the app shows any error
        pipe.send_error(error)
        return 1
    return pipe.answer_requests(lambda request: answer(RunDirectory(path), job, request))
