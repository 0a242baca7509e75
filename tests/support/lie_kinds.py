"""The kinds of input that may lie, each with the commands that a person would meet it with."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, patch

import msgspec

from codex_tui.core import environment, follower, forecasts, history_cache, locations, settings
from codex_tui.core.conversation import Conversation
from codex_tui.core.data_target import Target
from codex_tui.core.environment import read_stamp
from codex_tui.core.follower import RunFollower, glance
from codex_tui.core.log_tail import LogTail
from codex_tui.core.profile_document import Draft
from codex_tui.core.profile_file import load_profile
from codex_tui.core.row_reader import RowReader
from codex_tui.core.run_facts import read_facts
from codex_tui.core.text import clean
from codex_tui.core.toml_text import CannotEdit
from codex_tui.core.workers import Worker
from codex_tui.widgets.row_view import as_seen, facts, one_by_one, raw
from tests.support.lies import CONTROL, Bench, Kind
from tests.support.mutate import TEXTS, Mutator
from training import chat as chat_worker
from training import inspect as inspect_worker
from training.contract import events as ev
from training.contract import probes
from training.contract.run_directory import Exit, ProcessIdentity, RunDirectory
from training.failures import TrainingFailure
from training.job import read_dataset, read_job

NOWHERE = "/nowhere/python"  # no interpreter: what comes after the checks ends with 3
Try = Callable[[Mutator], None]


def profile(bench: Bench) -> Try:
    names = sorted(locations.shipped_profiles().glob("*.toml"))
    file = bench.home / "lie.toml"
    child = bench.home / "child.toml"
    child.write_text('extends = "lie.toml"\n[lora]\nr = 4\n')

    def try_one(mutate: Mutator) -> None:
        file.write_bytes(mutate.toml(mutate.random.choice(names).read_text(encoding="utf-8")))
        with bench.untouched():
            bench.command("profile", "check", mutate.random.choice((file, child)))
            bench.command("profile", mutate.random.choice(("show", "check")), file, "--json")
            bench.command("profile", "show", file)
            bench.command("forecast", file, "--card", "4096", *mutate.random.choice(((), ("--json",))))
            bench.command("train", file, "--dataset", "demo:zombie-waves", "--python", NOWHERE, "--headless", allowed=(2, 3))
            with bench.guard("the editor", CannotEdit):
                draft = Draft.open(file)
                draft.set("lora.r", "16")
                draft.set("lora.r", None)

    return try_one


def rows(bench: Bench) -> Try:
    pairs = [{"instruction": f"Which weapon {n}?", "response": f"The shotgun, {n} times."} for n in range(6)]
    chats = [{"messages": [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": "Yes."}]} for n in range(5)]
    shares = [{"conversations": [{"from": "human", "value": f"Hi {n}"}, {"from": "gpt", "value": "Yes."}]} for n in range(5)]
    texts = [{"text": f"It was a dark night, the {n}th."} for n in range(5)]
    table = "".join(f'"{pair["instruction"]}","{pair["response"]}"\n' for pair in pairs)

    def try_one(mutate: Mutator) -> None:
        found = mutate.random.choice((pairs, chats, shares, texts, [*pairs, *chats]))
        kind = mutate.random.choice(("jsonl", "jsonl", "json", "csv"))
        data = {
            "jsonl": mutate.json_lines(found),
            "json": mutate.json(found),
            "csv": mutate.bytes(f"instruction,response\n{table}".encode()),
        }[kind]
        file = bench.home / f"rows.{kind}"
        file.write_bytes(data)
        with bench.untouched("cache"):
            bench.command("data", "check", file, *mutate.random.choice(((), ("--json",), ("--profile", "demo"))))
            bench.command("train", "demo", "--dataset", file, "--python", NOWHERE, "--headless", allowed=(2, 3))

    return try_one


def make_run(home: Path, steps: int = 12) -> RunDirectory:
    """An ended run with an adapter and a checkpoint, in which everything is said that can be."""
    run = RunDirectory(locations.runs_home() / "lies-1")
    run.create()
    run.profile.write_text("")
    demo = load_profile(locations.shipped_profiles() / "demo.toml")
    config = {
        "version": 1, "name": run.name, "created": 1e9, "app_version": "0", "profile_name": "demo",
        "profile": demo.model_dump(mode="json"), "dataset": "demo:zombie-waves", "python": NOWHERE, "cache": str(home),
        "actual": {"model": {"name": "demo:llama", "dtype": "bfloat16"}}, "stack": {"torch": "2"},
        "dataset_fingerprint": {"sha256": "0" * 64, "rows": 9},
    }  # fmt: skip
    run.write_config(config)
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    run.write_exit(Exit(os.getpid(), None, "SIGKILL"))
    run.log.write_text("Unsloth: patched.\nRuntimeError: it broke\n")
    writer = ev.EventWriter(run.events)
    for event in _said(steps):
        writer.emit(event)
    writer.close()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    return run


def _said(steps: int) -> list[ev.Event]:
    found: list[ev.Event] = [
        ev.Started(attempt=1, pid=1), ev.Phase(name="tokenising", done=5, total=9, unit="rows"),
        ev.Resolved(total_steps=steps, steps_per_epoch=4, train_rows=9, eval_rows=2, changed={"lora.r": [8, 4, "small"]}),
        ev.Probe(tokens=9, rows=1, peak_reserved_mib=9.0, context_mib=2.0, limit_mib=99.0), ev.Phase(name="training"),
    ]  # fmt: skip
    for step in range(1, steps + 1):
        found += [
            ev.Metrics(step=step, epoch=step / 4, loss=2 / step, learning_rate=1e-4, tokens=step * 9, tokens_per_second=9.0),
            ev.Memory(step=step, host_mib=99.0), ev.Gpu(used_mib=9.0, total_mib=99.0, temperature=60.0),
        ]  # fmt: skip
    last: list[ev.Event] = [
        ev.Eval(step=steps, eval_loss=1.0), ev.Sample(step=steps, prompt="Who?", text="Me."), ev.Warned(message="Hot."),
        ev.Checkpoint(step=steps, path="checkpoints/checkpoint-12"), ev.Started(attempt=2, pid=1, resume_step=steps - 2),
        ev.Metrics(step=steps - 1, loss=0.1), ev.Failed(kind="unknown", message="It broke.", hint="Mend it.", step=steps),
    ]  # fmt: skip
    return found + last


def _look_at(bench: Bench, run: RunDirectory, mutate: Mutator) -> None:
    bench.command("runs", *mutate.random.choice(((), ("--json",))), allowed=(0,))
    bench.command("attach", run.name, "--headless", allowed=(0, 1))
    with bench.guard("RunFollower"):
        watched = RunFollower(run)
        while not watched.complete:
            watched.poll()
        glance(run)


def events(bench: Bench) -> Try:
    run = make_run(bench.home)
    whole = [json.loads(line) for line in run.events.read_bytes().splitlines()]

    def try_one(mutate: Mutator) -> None:
        run.events.write_bytes(mutate.json_lines(whole))
        with bench.untouched("cache"):
            _look_at(bench, run, mutate)

    return try_one


def history(bench: Bench) -> Try:
    """What the cache keeps of a long run's events."""
    run = make_run(bench.home, steps=50)
    with patch.object(follower, "PREVIEW_FROM", 1):
        watched = RunFollower(run)
        for _ in range(3):
            watched.poll()
    [place] = (locations.cache_home() / "histories").iterdir()
    whole = place.read_bytes()
    plain = msgspec.msgpack.decode(whole)

    def try_one(mutate: Mutator) -> None:
        lie = mutate.bytes(whole)
        if mutate.random.random() < 0.5:
            changed = mutate._changed(msgspec.msgpack.decode(whole))
            try:
                lie = msgspec.msgpack.encode(changed)
            except (ValueError, OverflowError, TypeError):
                lie = msgspec.msgpack.encode(plain)
        place.write_bytes(lie)
        with patch.object(follower, "PREVIEW_FROM", 1), bench.untouched("cache"):
            _look_at(bench, run, mutate)

    return try_one


def config(bench: Bench) -> Try:
    run = make_run(bench.home)
    whole = run.read_config() | {"files": [str(bench.home / "rows.jsonl")], "hub": {"repo": "a/b", "revision": "c"}}
    (bench.home / "rows.jsonl").write_text('{"instruction": "a", "response": "b"}\n')

    def try_one(mutate: Mutator) -> None:
        run.config.write_bytes(mutate.json(whole if mutate.random.random() < 0.5 else run_config))
        with bench.untouched("cache"):
            _look_at(bench, run, mutate)
            bench.command("resume", run.name, "--python", NOWHERE, "--headless", allowed=(2, 3))
            bench.command("chat", run.name, "--prompt", "Who?", allowed=(2, 3))
            with bench.guard("facts"):
                facts = read_facts(run)
                assert clean(facts.title + facts.model + facts.dataset) == facts.title + facts.model + facts.dataset
            with bench.guard("the data screen"):
                Target.of_run(run)
            with bench.guard("the trainer", TrainingFailure):
                read_dataset(read_job(run.path))

    run_config = run.read_config()
    return try_one


def process(bench: Bench) -> Try:
    """process.json, exit.json, the stop request and the log of a run that has no last word."""
    run = make_run(bench.home)
    run.events.write_bytes(b"".join(run.events.read_bytes().splitlines(keepends=True)[:20]))
    wholes = {path: path.read_bytes() for path in (run.process, run.exit, run.log)}
    wholes[run.control] = b"save\n"

    def try_one(mutate: Mutator) -> None:
        for path, whole in wholes.items():
            path.write_bytes(whole)
        path = mutate.random.choice([run.process, run.process, run.exit, run.exit, run.log, run.control])
        if path in (run.process, run.exit):
            path.write_bytes(mutate.json(json.loads(wholes[path])))
        else:
            hostile = mutate.random.choice(TEXTS).encode("utf-8", "surrogatepass")
            path.write_bytes(mutate.bytes(wholes[path] + hostile))
        with bench.untouched("cache"):
            _look_at(bench, run, mutate)
            bench.command("stop", run.name, allowed=(2,))
            bench.command("resume", run.name, "--python", NOWHERE, "--headless", allowed=(3,))
            with bench.guard("what the trainer asks"):
                run.stop_requested()
                LogTail(run.log).poll()

    return try_one


def caches(bench: Bench) -> Try:
    """Scans, lengths and indexes under CACHE/datasets, and what a probe measured."""
    file = bench.home / "rows.jsonl"
    file.write_text("".join(f'{{"instruction": "a {n % 7}", "response": "b"}}\n' for n in range(40)) + "{}\n")
    honest = bench.command("data", "check", file, "--json")
    folder = locations.cache_home() / "datasets"
    wholes = {path: path.read_bytes() for path in folder.iterdir()}

    def try_one(mutate: Mutator) -> None:
        for path, whole in wholes.items():
            path.write_bytes(whole)
        path = mutate.random.choice(list(wholes))
        path.write_bytes(_packed(mutate, wholes[path]))
        with bench.untouched("cache"):
            bench.command("data", "check", file, *mutate.random.choice(((), ("--json",))))
            for path in wholes:
                path.unlink(missing_ok=True)
            if bench.command("data", "check", file, "--json") != honest:
                bench.fail("data check", "says something else without its cache")

    return try_one


def _packed(mutate: Mutator, whole: bytes) -> bytes:
    """A MessagePack or other file that lies in a value or in its bytes."""
    if mutate.random.random() < 0.5:
        try:
            return msgspec.msgpack.encode(mutate._changed(msgspec.msgpack.decode(whole)))
        except (msgspec.MsgspecError, ValueError, OverflowError, TypeError):
            pass
    return mutate.bytes(whole)


def small_files(bench: Bench) -> Try:
    """settings.toml, what a probe measured, the stamp of the environment, and the config.json of a model."""
    make_run(bench.home)
    demo = bench.home / "own.toml"
    demo.write_text('[model]\nname = "./model"\n')
    (bench.home / "model").mkdir()
    shape = bench.home / "model" / "config.json"
    shapes = list(json.loads((Path(probes.__file__).parent / "model_shapes.json").read_text()).values())
    shape.write_text(json.dumps(shapes[0]))
    card = forecasts.Card("Card", 4096.0, 4000.0, 96.0)
    known = load_profile(demo, {"model.name": str(shape.parent)})
    probes.write(locations.cache_home(), card.name, known, probes.Probed(2048, 3000.0, 300.0, 0))
    [probe] = (locations.cache_home() / "probes" / "Card").iterdir()
    stamp = locations.managed_environment() / "codex-train.json"
    stamp.parent.mkdir(parents=True)
    stamp.write_text("{}")
    locations.settings_file().parent.mkdir()
    own = f'[trainer]\npython = "{NOWHERE}"\n'

    def try_one(mutate: Mutator) -> None:
        locations.settings_file().write_text(own)
        shape.write_text(json.dumps(shapes[0]))
        probe.write_bytes(msgspec.json.encode(probes.Probed(2048, 3000.0, 300.0, 0)))
        pick = mutate.random.randrange(4)
        if pick == 0:
            locations.settings_file().write_bytes(mutate.toml(own))
        elif pick == 1:
            probe.write_bytes(mutate.json(json.loads(probe.read_bytes())))
        elif pick == 2:
            stamp.write_bytes(mutate.json({"list": "0" * 64, "build": "cpu", "forced": False, "seconds": 9.0}))
        else:
            shape.write_bytes(mutate.json(mutate.random.choice(shapes)))
        with bench.untouched("cache"), patch.object(forecasts, "card", lambda device: card):
            if pick in (0, 2):
                bench.command("chat", "last", "--prompt", "Who?", allowed=(2, 3))
                with bench.guard("settings and stamp"):
                    read_stamp()
                    settings.load()
            else:
                said = bench.command("forecast", demo, "--json", allowed=(0, 1, 2))
                if "NaN" in said or "Infinity" in said:
                    bench.fail("forecast", "says NaN or Infinity")
                bench.command("forecast", demo, "--card", "6000", allowed=(0, 1, 2))

    return try_one


def arguments(bench: Bench) -> Try:
    """What is typed: names of runs, profiles, fields and files."""
    make_run(bench.home)
    fields = ["lora.r=8", "training.learning_rate=1e-4", 'model.name="x"', "lora.target_modules=[]", "extends=demo"]

    def try_one(mutate: Mutator) -> None:
        text = mutate.random.choice(TEXTS).replace("\0", "\x01")  # which no command line can have
        if mutate.random.random() < 0.5:
            text = mutate.bytes((mutate.random.choice(fields) + text).encode("utf-8", "surrogatepass")).decode(
                "utf-8", "surrogateescape"
            )
        text = text.replace("\0", "")[:4000]
        if text.startswith("-"):
            text = f"x{text}"
        calls: list[list[Any]] = [
            ["profile", "check", "demo", "--set", text], ["profile", "show", "demo", "--json", "--set", text],
            ["train", "demo", "--name", text, "--python", NOWHERE, "--headless"], ["attach", f"x{text}", "--headless"],
            ["profile", "check", text], ["profile", "explain", text], ["forecast", text], ["data", "check", text],
            ["stop", f"x{text}"], ["chat", "last", "--prompt", text, "--max-new-tokens", "1"], ["resume", f"x{text}"],
            ["runs", text], [f"x{text}"], ["train", "demo", "--dataset", text, "--python", NOWHERE],
        ]  # fmt: skip
        with bench.untouched("cache", "hub"):
            for call in mutate.random.sample(calls, 4):
                bench.command(*call)

    return try_one


def screens(bench: Bench) -> Try:
    """A run that lies, in the app itself: every pane of the cockpit, the details and the list of runs."""
    from codex_tui.app import CodexApp
    from tests.support.pilot import screen_text

    run = make_run(bench.home)
    whole = [json.loads(line) for line in run.events.read_bytes().splitlines()]
    settings_of_run = run.read_config()

    async def look() -> None:
        async with CodexApp(run).run_test(size=(100, 32)) as pilot:
            for keys in ("1", "2", "3", "4", "i", "escape", "o"):
                await pilot.press(keys)
                await pilot.pause()
                if bad := CONTROL.search(screen_text(pilot.app).replace("\n", "")):
                    bench.fail("screen", f"shows {bad[0]!r} after {keys}")

    def try_one(mutate: Mutator) -> None:
        lies = mutate.random.random() < 0.7
        run.events.write_bytes(mutate.json_lines(whole) if lies else b"".join(msgspec.json.encode(e) + b"\n" for e in whole))
        run.config.write_bytes(json.dumps(settings_of_run).encode() if lies else mutate.json(settings_of_run))
        run.log.write_text(mutate.random.choice(TEXTS), errors="surrogatepass")
        with bench.untouched("cache"), bench.guard("the app"):
            asyncio.run(look())

    return try_one


class FakeProcess:
    """Said all it has to say, and ended."""

    pid = 1

    def __init__(self, said: bytes, code: int) -> None:
        self.stdout, self.stderr, self.returncode = asyncio.StreamReader(limit=1 << 20), asyncio.StreamReader(), code
        self.stdout.feed_data(said)
        self.stdout.feed_eof()
        self.stderr.feed_data(b"\x1b]0;OWNED\x07 it broke\n")
        self.stderr.feed_eof()
        self.stdin = Mock(drain=AsyncMock())

    async def wait(self) -> int:
        return self.returncode


CHAT: list[Any] = [
    {"type": "phase", "detail": "loading", "done": 1, "total": 2}, {"type": "ready", "device": "cpu", "has_adapter": True},
    *({"type": "token", "id": 1, "text": f"word {n} "} for n in range(4)),
    {"type": "end", "id": 1, "reason": "eos", "tokens": 4, "seconds": 0.5},
    {"type": "error", "id": 1, "kind": "bad_data", "message": "It broke.", "hint": "Mend it."},
]  # fmt: skip
SEGMENTS = [{"text": "<|user|> Hi", "learned": False, "cut": False}, {"text": "Yes.", "learned": True, "cut": True}]
INSPECT: list[Any] = [
    {"type": "ready", "rows": 9, "kept": 8, "train_rows": 7, "eval_rows": 1, "scan": None, "why": "", "hint": ""},
    {"type": "row", "index": 0, "file": "", "line": 1, "raw": {"a": "b"}, "problem": "", "text": "", "shape": "text",
     "segments": SEGMENTS, "tokens": 9, "start": 4, "learned_tokens": 3, "max_seq_length": 7, "truncated": True,
     "split": "train", "why": "", "ids": [[1, "a"], [2, "b"]]},
    {"type": "progress", "what": "tokenising", "done": 3, "total": 9},
    {"type": "digest", "scan": "/nowhere", "lengths": None, "cached": False, "why": "", "hint": ""},
]  # fmt: skip


def workers(bench: Bench) -> Try:
    """What a worker says: to the chat, to the viewer of rows, to the commands."""
    run = make_run(bench.home)
    rows = bench.home / "rows.jsonl"
    rows.write_text('{"instruction": "a", "response": "b"}\n' * 4)

    async def chat() -> None:
        talk = Conversation(run, lambda: None)
        await talk.ask("Hi")
        await asyncio.wait_for(asyncio.shield(talk._reading), 9) if talk._reading else None  # type: ignore[arg-type]
        if talk.busy or talk.status in ("loading", "answering"):
            bench.fail("chat", f"waits for ever: {talk.status}")
        await talk.close()

    async def read() -> None:
        reader = RowReader(run, lambda: None, lambda message: None)
        await reader.start()
        await asyncio.wait_for(asyncio.shield(reader._reading), 9) if reader._reading else None  # type: ignore[arg-type]
        if reader.status not in ("failed", "off"):
            bench.fail("rows", f"waits for ever: {reader.status}")
        if row := reader.row:
            shown = [facts(row), *raw(row.get("raw")), *as_seen(row), *one_by_one(row, True), *one_by_one(row, False)]
            _harmless(bench, "row", *(getattr(part, "plain", part) for part in shown))
        await reader.close()

    def try_one(mutate: Mutator) -> None:
        code = mutate.random.choice((0, 0, 0, 1, -9, -11, -40, 255))
        said = {"chat": mutate.json_lines(CHAT), "inspect": mutate.json_lines(INSPECT)}

        async def start(_python: Path, arguments: list[str]) -> Worker:
            return Worker(FakeProcess(said[arguments[0]], code))  # type: ignore[arg-type]

        with (
            patch.object(Worker, "start", start), patch("codex_tui.core.workers.interpreter_of", lambda run: Path(NOWHERE)),
            patch("codex_tui.core.environment.find_python", lambda *_: Path(NOWHERE)), bench.untouched("cache"),
        ):  # fmt: skip
            with bench.guard("chat"):
                asyncio.run(chat())
            with bench.guard("rows"):
                asyncio.run(read())
            bench.command("chat", run.name, "--prompt", "Hi", terminal=True, allowed=(0, 1, 2))
            bench.command("data", "check", rows, "--profile", "demo", allowed=(0, 2))

    return try_one


def _harmless(bench: Bench, what: str, *texts: str) -> None:
    if bad := CONTROL.search("".join(texts).replace("\n", "")):
        bench.fail(what, f"shows {bad[0]!r}")


def asked(bench: Bench) -> Try:
    """What the app says to its workers: each line is answered in JSON, and none of them ends the worker."""
    run = make_run(bench.home)
    lines = [
        {"type": "generate", "id": 1, "messages": [{"role": "user", "content": "Hi"}], "adapter": True, "temperature": 0.0},
        {"type": "stop", "id": 1}, {"type": "row", "index": 3, "ids": True, "max_seq_length": 9}, {"type": "cancel"},
    ]  # fmt: skip

    def try_one(mutate: Mutator) -> None:
        said = b"\n".join(mutate.json_lines(lines) for _ in range(2))
        for module, serve in ((chat_worker, chat_worker.serve), (inspect_worker, inspect_worker.serve)):
            out = io.BytesIO()

            def pipe(self: Any, out: io.BytesIO = out) -> None:
                self._out, self._lock = out, threading.Lock()

            with (
                patch("training.pipe.Pipe.__init__", pipe), patch("sys.stdin", Mock(buffer=io.BytesIO(said))),
                patch.object(chat_worker, "Speaker", Listener), patch.object(module.threading, "Thread", Mock()),
                patch("os._exit", lambda code: None), patch("traceback.print_exception"), bench.untouched("cache", "datasets"),
                bench.guard(module.__name__),
            ):  # fmt: skip
                serve(run.path)
            answers = [msgspec.json.decode(line) for line in out.getvalue().splitlines()]
            if not answers or answers[0].get("type") != "ready":
                bench.fail(module.__name__, f"was not ready: {answers[:1]}")

    return try_one


class Listener(chat_worker.Speaker):
    """The chat worker without a model."""

    device, has_adapter = "cpu", False

    def __init__(self, *_: object) -> None:
        self._stopped = set()


def in_training(bench: Bench, kind: str, count: int, seed: int) -> None:
    """Checkpoints and Parquet files, which only the training environment reads: all in one process of it."""
    script = Path(__file__).with_name("lies_in_training.py")
    done = subprocess.run(
        [environment.find_python(), script, kind, str(count), str(seed), bench.home],
        env={**os.environ, "PYTHONPATH": str(script.parents[2])}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        bench.fail(kind, f"ended with {done.returncode}: {done.stderr[-500:]}")
    else:
        bench.failures += json.loads(done.stdout.splitlines()[-1])


KINDS: dict[str, Kind] = {
    "profile": profile, "rows": rows, "events": events, "history": history, "config": config, "process": process,
    "caches": caches, "small_files": small_files, "arguments": arguments,
    "workers": workers, "asked": asked, "screens": screens,
}  # fmt: skip

WEIGHTS = {"screens": 0.03, "caches": 0.5}
"""A kind that takes longer has fewer; 1 where nothing is said."""


def shares(count: int, kinds: list[str]) -> dict[str, int]:
    """`count` inputs over `kinds`."""
    whole = sum(WEIGHTS.get(kind, 1) for kind in kinds)
    return {kind: max(1, round(count * WEIGHTS.get(kind, 1) / whole)) for kind in kinds}
