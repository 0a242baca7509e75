"""Damaged run directories, read by the commands and the app."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from unittest.mock import patch

import msgspec

from codex_tui.base import locations
from codex_tui.base.checked_file import CHECKSUM_BYTES, compute_checksum
from codex_tui.base.text import clean
from codex_tui.data.target import Target
from codex_tui.profiles.resolve import load_profile
from codex_tui.runs import announced, follower, live, outcome, summary_cache
from codex_tui.runs.facts import read_facts
from codex_tui.runs.follower import RunFollower, snapshot
from codex_tui.runs.log_tail import LogTail
from codex_tui.ui.app import CodexApp
from support.config_file import read_config, write_config
from support.fake_runs import list_summaries
from support.fuzz.checks import CONTROL, NOWHERE, FuzzSession, TryInput
from support.fuzz.mutate import TEXTS, Mutator
from support.history_file import join_chunk, split_chunks
from support.pilot import screen_text
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.failures import TrainingFailure
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history.recorder import Recorder
from training.job.job import check_rows, read_all_rows, read_job


def make_run(home: Path, steps: int = 12) -> RunDirectory:
    """An ended run with an adapter, a checkpoint and an event of every kind."""
    run = RunDirectory(locations.runs_home() / "fuzzed-1")
    run.create()
    run.profile.write_text("")
    demo = load_profile(locations.shipped_profiles() / "demo.toml")
    config = {
        "version": 1, "name": run.name, "created": 1e9, "app_version": "0", "profile_name": "demo",
        "profile": demo.model_dump(mode="json"), "dataset": "demo:zombie-waves", "python": NOWHERE, "cache": str(home),
        "actual": {"model": {"name": "demo:llama", "dtype": "bfloat16"}}, "stack": {"torch": "2"},
        "dataset_fingerprint": {"sha256": "0" * 64, "rows": 9},
    }  # fmt: skip
    write_config(run, config)
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    run.write_exit(Exit(os.getpid(), None, "SIGKILL"))
    run.log.write_text("Unsloth: patched.\nRuntimeError: it broke\n")
    writer = EventWriter(run.events)
    for event in _make_events(steps):
        writer.emit(event)
    writer.close()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    return run


def _make_events(steps: int) -> list[ev.Event]:
    found: list[ev.Event] = [
        ev.Started(attempt=1, pid=1), ev.Phase(name="tokenising", done=5, total=9, unit="rows"),
        ev.Resolved(total_steps=steps, steps_per_epoch=4, train_rows=9, eval_rows=2, changed={"lora.r": (8, 4, "why")}),
        ev.Probe(tokens=9, rows=1, peak_reserved_mib=9.0, context_mib=2.0, limit_mib=99.0), ev.Phase(name="training"),
    ]  # fmt: skip
    for step in range(1, steps + 1):
        found += [
            ev.Metrics(step=step, epoch=step / 4, loss=2 / step, learning_rate=1e-4, tokens=step),
            ev.Memory(step=step, host_mib=99.0), ev.Gpu(used_mib=9.0, total_mib=99.0, temperature=60.0),
        ]  # fmt: skip
    last: list[ev.Event] = [
        ev.Eval(step=steps, eval_loss=1.0), ev.Sample(step=steps, prompt="Who?", text="Me."), ev.Warned(message="Hot."),
        ev.Checkpoint(step=steps, path="checkpoints/checkpoint-12"), ev.Started(attempt=2, pid=1, resume_step=10),
        ev.Metrics(step=11, loss=0.1), ev.Held(state="healing", reason="No memory.", ends="Soon.", step=10, until=9.0),
        ev.Healed(kind="gpu_memory", reason="No memory.", step=10, failed_step=11, file="a.jsonl", line=3, tokens=9,
                  changes={"model.offload_layers": (0, 6)}, frees_mib=99.0),
        ev.Failed(kind="unknown", message="It broke.", hint="Mend it.", step=steps,
                  memory=ev.OutOfMemory(task="training", limit_mib=99.0, tokens=9, file="a.jsonl", line=3)),
    ]  # fmt: skip
    return found + last


def _look_at_run(session: FuzzSession, run: RunDirectory, mutate: Mutator) -> None:
    session.run_command("runs", *mutate.random.choice(((), ("--json",))), allowed=(0,))
    session.run_command("attach", run.name, "--headless", allowed=(0, 1))
    with session.expect_no_crash("RunFollower"):
        watched = RunFollower(run)
        while not watched.complete:
            watched.poll()
        snapshot(run)


def fuzz_events(session: FuzzSession) -> TryInput:
    run = make_run(session.home)
    valid = [json.loads(line) for line in run.events.read_bytes().splitlines()]

    def try_one(mutate: Mutator) -> None:
        run.events.write_bytes(mutate.json_lines(valid))
        with session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)

    return try_one


def fuzz_history(session: FuzzSession) -> TryInput:
    """RUN/history. A damaged one changes nothing, and one that lies with a right checksum breaks nothing."""
    run = make_run(session.home, steps=50)
    recorder = Recorder(run.path)
    recorder.poll(at_end=True)
    recorder.close()
    valid = run.history.read_bytes()
    [chunk] = split_chunks(valid)
    with patch.object(follower, "PREVIEW_FROM", 1):
        truth = snapshot(run).state

    def try_one(mutate: Mutator) -> None:
        run.history.write_bytes(mutate.bytes(valid))
        with patch.object(follower, "PREVIEW_FROM", 1), session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)
            with session.expect_no_crash("the history"):
                watched = RunFollower(run)
                while not watched.complete:
                    watched.poll()
                assert vars(watched.watched.state) | {"losses": 0} == vars(truth) | {"losses": 0}
        try:
            rest = msgspec.msgpack.encode(mutate.change_one_value(msgspec.msgpack.decode(chunk.rest)))
        except (ValueError, OverflowError, TypeError):
            return
        run.history.write_bytes(join_chunk(chunk, rest))
        with patch.object(follower, "PREVIEW_FROM", 1), session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)

    return try_one


def fuzz_summaries(session: FuzzSession) -> TryInput:
    """The kept summaries of ended runs. Damaged ones change nothing that `runs` says."""
    run = make_run(session.home)
    for word in ("seen", "failed"):  # viewers note both in the run directory, whose size `runs` shows
        announced.claim(run, word)
    with patch.object(summary_cache, "MIN_AGE_SECONDS", -1e9), patch.object(live, "MIN_AGE_SECONDS", -1e9):
        [truth] = list_summaries()
        to_open = live.find_run_to_open()
    dead_trainers = locations.cache_home() / "dead-trainers"
    dead = dead_trainers.read_bytes()
    [place] = (locations.cache_home() / "summaries").iterdir()
    valid = place.read_bytes()
    content = msgspec.msgpack.decode(valid[CHECKSUM_BYTES:])

    def try_one(mutate: Mutator) -> None:
        place.write_bytes(mutate.bytes(valid))
        dead_trainers.write_bytes(mutate.bytes(dead))
        with session.expect_unchanged("cache"), session.expect_no_crash("the list of runs"):
            opened = live.find_run_to_open()
            assert (opened and opened.path) == (to_open and to_open.path)
            assert list_summaries() == [truth]
        changed = mutate.change_one_value(content)
        try:
            body = msgspec.msgpack.encode(changed)
        except (ValueError, OverflowError, TypeError):
            return
        place.write_bytes(compute_checksum(body) + body)  # a right checksum of a wrong value
        with session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)

    return try_one


def fuzz_config(session: FuzzSession) -> TryInput:
    run = make_run(session.home)
    valid = read_config(run) | {"files": [str(session.home / "rows.jsonl")], "hub": {"repo": "a/b", "revision": "c"}}
    (session.home / "rows.jsonl").write_text('{"instruction": "a", "response": "b"}\n')

    def try_one(mutate: Mutator) -> None:
        run.config.write_bytes(mutate.json(valid if mutate.random.random() < 0.5 else run_config))
        with session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)
            session.run_command("resume", run.name, "--python", NOWHERE, "--headless", allowed=(2, 3))
            session.run_command("chat", run.name, "--prompt", "Who?", allowed=(2, 3))
            with session.expect_no_crash("facts"):
                facts = read_facts(run)
                assert clean(facts.title + facts.model + facts.dataset) == facts.title + facts.model + facts.dataset
            with session.expect_no_crash("the data screen"):
                Target.from_run(run)
            with session.expect_no_crash("the trainer", TrainingFailure):
                job = read_job(run.path)
                check_rows(job, read_all_rows(job), run)
                assert isinstance(job.model_name, str)

    run_config = read_config(run)
    return try_one


def fuzz_process(session: FuzzSession) -> TryInput:
    """process.json, exit.json, the stop request and the log of a run whose events have no end."""
    run = make_run(session.home)
    run.events.write_bytes(b"".join(run.events.read_bytes().splitlines(keepends=True)[:20]))
    originals = {path: path.read_bytes() for path in (run.process, run.exit, run.log)}
    originals[run.control] = b"save\n"

    def try_one(mutate: Mutator) -> None:
        for path, valid in originals.items():
            path.write_bytes(valid)
        path = mutate.random.choice([run.process, run.process, run.exit, run.exit, run.log, run.control])
        if path in (run.process, run.exit):
            path.write_bytes(mutate.json(json.loads(originals[path])))
        else:
            hostile = mutate.random.choice(TEXTS).encode("utf-8", "surrogatepass")
            path.write_bytes(mutate.bytes(originals[path] + hostile))
        with patch.object(outcome, "EXIT_WAIT_SECONDS", 0), session.expect_unchanged("cache"):
            _look_at_run(session, run, mutate)
            session.run_command("stop", run.name, allowed=(2,))
            session.run_command("resume", run.name, "--python", NOWHERE, "--headless", allowed=(3,))
            with session.expect_no_crash("what the trainer asks"):
                run.read_stop_request()
                LogTail(run.log).poll()

    return try_one


def fuzz_screens(session: FuzzSession) -> TryInput:
    """A damaged run in the app: every pane of the cockpit, the details and the list of runs."""
    run = make_run(session.home)
    valid = [json.loads(line) for line in run.events.read_bytes().splitlines()]
    settings_of_run = read_config(run)

    async def look() -> None:
        async with CodexApp(run).run_test(size=(100, 32)) as pilot:
            for keys in ("1", "2", "3", "4", "i", "escape", "o"):
                await pilot.press(keys)
                await pilot.pause()
                if bad := CONTROL.search(screen_text(pilot.app).replace("\n", "")):
                    session.fail("screen", f"shows {bad[0]!r} after {keys}")

    def try_one(mutate: Mutator) -> None:
        pick = mutate.random.choice(("events", "events", "config", "exit"))
        said = mutate.json_lines(valid) if pick == "events" else b"".join(msgspec.json.encode(e) + b"\n" for e in valid)
        # of a run that is lost, what its trainer's parent wrote down is shown
        run.events.write_bytes(b"".join(said.splitlines(keepends=True)[:20]) if pick == "exit" else said)
        run.config.write_bytes(
            mutate.json(settings_of_run) if pick == "config" else json.dumps(settings_of_run).encode()
        )
        run.write_exit(Exit(os.getpid(), None, mutate.random.choice(TEXTS).replace("\ud800", "")))
        run.log.write_text(mutate.random.choice(TEXTS), errors="surrogatepass")
        with (
            patch.object(outcome, "EXIT_WAIT_SECONDS", 0),
            session.expect_unchanged("cache"),
            session.expect_no_crash("the app"),
        ):
            asyncio.run(look())

    return try_one
