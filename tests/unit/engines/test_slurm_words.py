"""What squeue prints, in plain words; and what sbatch is asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

import pytest
from support.training_runs import demo_profile

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.cli import main
from codex_tui.engines.engine import Start
from codex_tui.engines.slurm.engine import SlurmEngine
from codex_tui.engines.slurm.job_state import JobState, parse_job_state, read_job_state
from codex_tui.engines.slurm.programs import NoAnswer, Refused, run_program
from codex_tui.engines.slurm.submission import make_options, make_script
from codex_tui.environment import build
from training.contract.control import Request, Word
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("PENDING|Resources||N/A|7", JobState("waiting", "no node with enough free resources")),
        (
            "PENDING|QOSMaxGRESPerUser||N/A|7",
            JobState("waiting", "a limit of your account is reached (QOSMaxGRESPerUser)"),
        ),
        ("PENDING|SomethingNew||N/A|7", JobState("waiting", "SomethingNew")),
        (
            "PENDING|job requeued in held state||N/A|0",
            JobState("waiting", "it is held until a person releases it", is_held=True),
        ),
        ("PENDING|job requeued in held state||N/A|7", JobState("waiting", "it was released just now")),
        ("CONFIGURING|None|n1|N/A|7", JobState("waiting", "its nodes are being prepared")),
        ("RUNNING|None|n[1-2]|2026-11-28T22:00:00|7", JobState("running", "", "n[1-2]")),
        ("COMPLETING|None|n1|N/A|7", JobState("running", "its processes are ending", "n1", is_ending=True)),
        ("SUSPENDED|None|n1|N/A|7", JobState("running", "an administrator has suspended it", "n1")),
        ("A_LATER_STATE|None|n1|N/A|7", JobState("running", "A_LATER_STATE", "n1")),
        ("NODE_FAIL|None|n1|N/A|7", JobState("gone", "its node failed", "n1")),
        ("CANCELLED|None|n1|N/A|7", JobState("gone", "the job was cancelled", "n1")),
        ("TIMEOUT|TimeLimit|n1|N/A|7", JobState("gone", "the job's time limit came (launch.slurm.time)", "n1")),
        ("FAILED|BadConstraints||N/A|7", JobState("gone", "the job failed (BadConstraints)")),
        ("", JobState("running")),
    ],
)
def test_each_state_is_told_in_plain_words(line: str, state: JobState) -> None:
    assert parse_job_state(line) == state


def test_a_job_that_waits_says_when_slurm_expects_to_start_it() -> None:
    begin = time.strftime("%Y-%m-%dT23:59:00")
    state = parse_job_state(f"PENDING|BeginTime||{begin}|7")
    assert state.reason == "its begin time has not come; it starts at about 23:59"
    assert parse_job_state("PENDING|Priority||2020-02-03T04:05:00|7").reason.endswith("at about 03 Feb 04:05")


def write_program(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_a_job_that_slurm_has_forgotten_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, monkeypatch, "squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert read_job_state("7", Path("/runs/demo-1")) == JobState("gone", "Slurm does not know job 7 any more")


def test_only_the_job_of_the_run_is_asked_and_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path, monkeypatch, "squeue", "echo 'RUNNING|None|n1|N/A|7|demo-1'")
    assert read_job_state("7", Path("/runs/demo-1")).status == "running"
    assert read_job_state("7", Path("/runs/demo-2")) == JobState("gone", "Slurm does not know job 7 any more")
    write_program(tmp_path, monkeypatch, "squeue", f"touch {tmp_path}/asked")
    # engine.json of a run that somebody else made
    assert read_job_state("--user=me", Path("/runs/demo-1")).status == "gone"
    assert not (tmp_path / "asked").exists()


def test_a_job_of_another_folder_is_not_that_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = tmp_path / "mine" / "demo-1", tmp_path / "other" / "demo-1"
    mine.mkdir(parents=True)
    other.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for place, status in ((mine, "running"), (tmp_path / "link" / "demo-1", "running"), (other, "gone")):
        write_program(tmp_path, monkeypatch, "squeue", f"echo 'RUNNING|None|n1|N/A|7|demo-1|{place}'")
        assert read_job_state("7", mine).status == status
    write_program(tmp_path, monkeypatch, "squeue", f"echo 'RUNNING|None|n1|N/A|7|demo-1|{tmp_path}/gone/demo-1'")
    assert read_job_state("7", mine).status == "running"  # it was moved by hand


def test_a_submission_without_an_answer_is_not_found_in_the_job_of_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = RunDirectory(tmp_path / "mine" / "demo-1"), tmp_path / "other" / "demo-1"
    run.create()
    other.mkdir(parents=True)
    run.write_engine(EngineRecord("slurm", submitted=time.time()))
    jobs = f"PENDING|Priority||N/A|7|demo-1|{run.path}"
    found = f"echo '7|{run.path}'; echo '9|{other}'; echo '8_[1-3]|/gone'"
    script = f"case $* in *--name=demo-1*) {found};; *) echo '{jobs}';; esac"
    write_program(tmp_path, monkeypatch, "squeue", script)
    record = SlurmEngine().look(run)
    assert (record.job, record.status) == ("7", "waiting")


@pytest.mark.parametrize("word", ["save", "terminate", "park", "resume", "kill"])
def test_a_job_whose_id_is_not_known_yet_is_not_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: Word | Literal["kill"]
) -> None:
    run, engine = RunDirectory(tmp_path / "demo-1"), SlurmEngine()
    run.create()
    run.write_engine(EngineRecord("slurm", submitted=time.time()))
    write_program(tmp_path, monkeypatch, "squeue", "true")
    for program in ("scancel", "scontrol"):
        write_program(tmp_path, monkeypatch, program, f"touch {tmp_path}/asked")
    with pytest.raises(CodexError, match=r"demo-1 is being submitted\."):
        engine.kill(run) if word == "kill" else engine.ask(run, Request(word))
    assert not (tmp_path / "asked").exists() and not run.control.exists()


def test_an_error_is_one_line_and_no_answer_is_no_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "sbatch: error: invalid partition specified: nope\nsbatch: error: Batch job submission failed"
    write_program(tmp_path, monkeypatch, "sbatch", f"echo '{lines}' >&2; exit 1")
    with pytest.raises(Refused, match=r"^invalid partition specified: nope; Batch job submission failed$"):
        run_program("sbatch")
    down = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    write_program(tmp_path, monkeypatch, "squeue", f"echo '{down}' >&2; exit 1")
    with pytest.raises(NoAnswer, match=r"^Unable to contact slurm controller"):
        run_program("squeue")
    unknown = (
        "squeue: error: fetch_config: DNS SRV lookup failed\nsqueue: fatal: Could not establish a configuration source"
    )
    write_program(tmp_path, monkeypatch, "squeue", f"echo '{unknown}' >&2; exit 1")
    with pytest.raises(NoAnswer, match=r"^this machine knows no cluster, because it has no slurm\.conf$"):
        run_program("squeue")
    write_program(tmp_path, monkeypatch, "squeue", "exec sleep 60")
    with pytest.raises(NoAnswer, match=r"did not answer within 0\.1 seconds"):
        run_program("squeue", seconds=0.1)
    with pytest.raises(NoAnswer, match="there is no program scontrol-of-nobody on this machine"):
        run_program("scontrol-of-nobody")


def test_without_slurm_a_run_is_refused_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BadInput, match="no program sbatch") as raised:
        SlurmEngine().check(demo_profile())
    assert "login node" in raised.value.hint


@pytest.mark.parametrize("profiles", [["demo"], ["demo", "demo"]])
def test_a_cluster_that_does_not_answer_is_found_before_anything_is_built(
    profiles: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_home: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_program(tmp_path, monkeypatch, "sbatch", "exit 1")
    down = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    write_program(tmp_path, monkeypatch, "squeue", f"echo asked >> {tmp_path}/asked; echo '{down}' >&2; exit 1")
    monkeypatch.setattr(build, "ensure", lambda *_, **__: pytest.fail("The environment is built."))
    assert main(["train", *profiles, "--on", "slurm", "--headless"]) == 1
    assert capsys.readouterr().err.endswith(
        "codex-tui: Slurm does not answer: Unable to contact slurm controller (connect failure).\n"
        "Try it again when `sinfo` answers.\n"
    )
    assert (tmp_path / "asked").read_text() == "asked\n"  # once: a controller that is down may take 10 seconds
    assert not locations.runs_home().exists()


def test_a_profile_becomes_the_options_of_sbatch_and_the_script_has_nothing_of_it() -> None:
    run = RunDirectory("/scratch/my runs/100%/zombies-1")
    slurm = {"partition": "gpu,long", "account": "lab", "qos": "low", "memory": "32G", "cpus": 4, "requeue": False}
    profile = demo_profile(launch={"engine": "slurm", "slurm": slurm}, hardware={"device": 0})
    options = make_options(run, profile)
    for option in (
        *("--job-name=zombies-1", "--chdir=/scratch/my runs/100%/zombies-1", "--output=trainer.log", "--export=ALL"),
        *("--time=04:00:00", "--signal=B:USR1@300", "--partition=gpu,long", "--gres=gpu:1", "--cpus-per-task=4"),
        *("--mem=32G", "--account=lab", "--qos=low", "--no-requeue", "--nodes=1", "--ntasks-per-node=1"),
    ):
        assert option in options
    plain = make_options(run, demo_profile(launch={"engine": "slurm"}, hardware={"device": "cpu"}))
    assert "--requeue" in plain and not any(o.startswith(("--gres", "--partition", "--mem", "--qos")) for o in plain)
    script = make_script(run, Path("/envs/my env/bin/python"), ["module load cuda"])
    assert script == (
        '#!/bin/bash -l\nset -e\nmodule load cuda\nexport CODEX_TUI_JOB="$SLURM_JOB_ID"\n'
        "exec '/envs/my env/bin/python' -m training '/scratch/my runs/100%/zombies-1'\n"
    )
    assert make_script(run, Path("/python"), []).startswith("#!/bin/sh\nexport ")


@pytest.mark.parametrize(
    ("printed", "may_have_job"),
    [
        ("Batch job submission failed: Unable to contact slurm controller (connect failure)", False),
        ("Batch job submission failed: Socket timed out on send/recv operation", True),
        ("Batch job submission failed: Zero Bytes were transmitted or received", True),
    ],
)
def test_a_job_that_slurm_may_have_got_is_not_forgotten(
    printed: str, may_have_job: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_home: Path
) -> None:
    write_program(tmp_path, monkeypatch, "sbatch", f"echo 'sbatch: error: {printed}' >&2; exit 1")
    run = RunDirectory(empty_home / "data" / "runs" / "demo-1")
    run.path.mkdir(parents=True)
    with pytest.raises(CodexError, match="Slurm does not answer") as raised:
        SlurmEngine().start(run, Start(1, demo_profile(launch={"engine": "slurm"}), tmp_path / "python"))
    assert run.engine.exists() == may_have_job == ("attach demo-1" in raised.value.hint)
    write_program(
        tmp_path,
        monkeypatch,
        "squeue",
        'case "$*" in *--name=demo-1*) echo 7;; *) echo "PENDING|Priority||N/A|7|demo-1";; esac',
    )
    if may_have_job:
        assert (record := SlurmEngine().look(run)).job == "7" and record.status == "waiting"
