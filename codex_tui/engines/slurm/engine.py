"""The Slurm engine: a run is a job, and its keeper is the batch shell. See `training.keeper.batch_job`."""

from __future__ import annotations

import os
import shutil
import time

import msgspec

from codex_tui.base import settings
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.text import clean
from codex_tui.engines.engine import EngineSilent, SharedFolder, Start
from codex_tui.engines.handover import MayHaveBegun, hand_over
from codex_tui.engines.keeper import write_heading
from codex_tui.engines.slurm.job_state import JobState, is_of_folder, read_job_state
from codex_tui.engines.slurm.programs import NoAnswer, Refused, run_program
from codex_tui.engines.slurm.submission import SUBMIT_SECONDS, submit
from codex_tui.runs.outcome import find_resume_step
from training.contract import events as ev
from training.contract.control import Request
from training.contract.engine import EngineRecord
from training.contract.event_writer import EventWriter
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

LEAVE_SECONDS = 10.0  # how long a resume waits for the job to leave its nodes


class SlurmEngine(SharedFolder):
    """The login node and the nodes of the cluster share the run directory, the cache and the training environment."""

    def check(self, profile: Profile) -> None:  # noqa: ARG002  sbatch itself knows what the cluster has
        if shutil.which("sbatch") is None:
            raise BadInput(
                "Slurm is not installed here: there is no program sbatch.",
                "Run this on a login node of the cluster, or train on this machine: --on local",
            )
        try:
            run_program("squeue", "--noheader", f"--user={os.getuid()}", "--format=%i")
        except NoAnswer as error:
            raise _explain_silence(error) from None
        except Refused:
            pass  # it answers

    def start(self, run: RunDirectory, start: Start) -> None:
        assert start.interpreter
        now, size = time.time(), run.count_event_bytes()
        record = EngineRecord("slurm", submitted=now, offset=size, attempt=start.attempt, seen=now, since=now)
        write_heading(run, start.attempt)
        with hand_over(run, record):
            try:
                job = submit(run, start.profile, start.interpreter, settings.load().slurm_setup)
            except NoAnswer as error:
                if not error.may_have_arrived:
                    raise _explain_silence(error) from None
                # The next looks find the job by its name, also if Slurm takes it only now.
                record = msgspec.structs.replace(record, submitted=time.time())
                hint = f"See what came of it: codex-tui attach {run.name}"
                raise MayHaveBegun(f"{_describe_silence(error)} It may have the job.", hint, record) from None
        run.write_engine(msgspec.structs.replace(record, job=job))

    def look(self, run: RunDirectory) -> EngineRecord:
        record, now = run.read_engine(), time.time()
        assert record
        try:
            state, job = _read_state(run, record)
        except (NoAnswer, Refused) as error:
            return record.change_status("unreachable", now, reason=str(error))
        if state.status == record.status == "gone":
            state = state._replace(reason=record.reason)  # Slurm forgets why, a few minutes after the end
        host = state.nodes or (record.host if state.status == "gone" else "")
        return record.change_status(
            state.status, now, job=job, host=host, reason=state.reason, is_held=state.is_held, seen=now
        )

    def ask(self, run: RunDirectory, request: Request) -> None:
        state, job = self._require_state(run, wait=request.word == "resume")
        if state.status != "waiting":
            run.write_request(request)
            return
        if not job:  # the program that submits it waits for Slurm's answer, and scancel may take "" for all jobs
            raise CodexError(f"{run.name} is being submitted.", "Try it again in a minute.")
        # The job has no keeper that could read RUN/control.
        if request.word == "resume":
            _run_command("scontrol", "release", job)
            run.clear_stop()
            run.write_engine(self.look(run))
        elif request.word == "park":
            _run_command("scontrol", "uhold", job)
            self._write_event(
                run, request, ev.Held(state="parked", reason=request.reason, ends=request.ends or ev.BY_HAND)
            )
        else:
            _run_command("scancel", "--state=PENDING", job)
            self._write_event(run, request, ev.Stopped(step=0))

    def kill(self, run: RunDirectory) -> None:
        state, job = self._require_state(run)
        if state.status == "waiting":
            self.ask(run, Request("terminate"))
        elif state.status == "running":
            _run_command("scancel", job)  # SIGTERM, and SIGKILL after the cluster's KillWait

    def _require_state(self, run: RunDirectory, *, wait: bool = False) -> tuple[JobState, str]:
        """Ask for the state of the job, and its id. With `wait`, wait until it has left the nodes that it is leaving.
        Raises CodexError if Slurm does not say it."""
        record, deadline = run.read_engine(), time.monotonic() + LEAVE_SECONDS
        assert record
        try:
            state, job = _read_state(run, record)
            while wait and state.is_ending and time.monotonic() < deadline:
                time.sleep(0.5)
                state, job = _read_state(run, record)
        except (NoAnswer, Refused) as error:
            raise _explain_silence(error) from None
        return state, job

    def _write_event(self, run: RunDirectory, request: Request, event: ev.Stopped | ev.Held) -> None:
        """Write into the events how a waiting job was stopped or held; nobody else writes them while it waits. If it
        has begun meanwhile, its keeper gets the request."""
        if self._require_state(run)[0].status == "running":
            run.write_request(request)
            return
        event.step = find_resume_step(run)
        if isinstance(event, ev.Stopped):
            event.resumable = event.step > 0
        writer = EventWriter(run.events)
        try:
            writer.emit(event)
        finally:
            writer.close()
        record, trained = self.look(run), run.read_process()
        if isinstance(event, ev.Stopped):  # the job trained no attempt if it had never begun
            attempt = min(record.attempt, trained.attempt if trained else 0)
            record = msgspec.structs.replace(record, attempt=attempt)
        run.write_engine(record)


def _read_state(run: RunDirectory, record: EngineRecord) -> tuple[JobState, str]:
    """Read the state of the job, and its id. Raises NoAnswer and Refused."""
    if record.job:
        return read_job_state(record.job, run.path), record.job
    # The program that submitted it was killed, or did not hear Slurm's answer. Its name is that of the run, and another
    # folder of runs may have a run of this name.
    answer = run_program("squeue", "--noheader", f"--user={os.getuid()}", f"--name={run.name}", "--format=%i|%Z")
    listed = (line.partition("|") for line in answer.splitlines())
    # An array of jobs, such as 8_[1-3], is never ours.
    if jobs := [job for job, _, place in listed if job.isdecimal() and is_of_folder(place, run.path)]:
        job = max(jobs, key=int)
        return read_job_state(job, run.path), job
    is_new = time.time() < record.submitted + SUBMIT_SECONDS
    return (JobState("waiting", "it is being submitted") if is_new else JobState("gone", "it was never submitted")), ""


def _run_command(*command: str) -> None:
    try:
        run_program(*command)
    except Refused as error:
        raise CodexError(f"Slurm refuses it: {clean(str(error)).rstrip('.')}.", "See its job with: squeue") from None
    except NoAnswer as error:
        raise _explain_silence(error) from None


def _explain_silence(error: Exception) -> EngineSilent:
    return EngineSilent(_describe_silence(error), "Try it again when `sinfo` answers.")


def _describe_silence(error: Exception) -> str:
    return f"Slurm does not answer: {clean(str(error)).rstrip('.')}."
