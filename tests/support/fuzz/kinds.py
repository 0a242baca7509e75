"""The kinds of input, each with the commands that read it."""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

from codex_tui.base import locations, settings
from codex_tui.base.toml_text import CannotEdit
from codex_tui.environment import build
from codex_tui.environment.build import read_stamp
from codex_tui.machine import forecast
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.resolve import load_profile
from support.fuzz.checks import NOWHERE, FuzzKind, FuzzSession, TryInput
from support.fuzz.judge import fuzz_judge
from support.fuzz.mutate import TEXTS, Mutator
from support.fuzz.runs import (
    fuzz_config,
    fuzz_events,
    fuzz_history,
    fuzz_process,
    fuzz_screens,
    fuzz_summaries,
    make_run,
)
from support.fuzz.workers import fuzz_worker_answers, fuzz_worker_requests
from training.memory import probes


def fuzz_profile(session: FuzzSession) -> TryInput:
    names = sorted(locations.shipped_profiles().glob("*.toml"))
    file = session.home / "mutated.toml"
    child = session.home / "child.toml"
    child.write_text('extends = "mutated.toml"\n[lora]\nr = 4\n')

    def try_one(mutate: Mutator) -> None:
        file.write_bytes(mutate.toml(mutate.random.choice(names).read_text(encoding="utf-8")))
        with session.expect_unchanged():
            session.run_command("profile", "check", mutate.random.choice((file, child)))
            session.run_command("profile", mutate.random.choice(("show", "check")), file, "--json")
            session.run_command("profile", "show", file)
            session.run_command("forecast", file, "--card", "4096", *mutate.random.choice(((), ("--json",))))
            session.run_command(
                "train", file, "--dataset", "demo:zombie-waves", "--python", NOWHERE, "--headless", allowed=(2, 3)
            )
            with session.expect_no_crash("the editor", CannotEdit):
                draft = Draft.open(file)
                draft.set("lora.r", "16")
                draft.set("lora.r", None)

    return try_one


def fuzz_rows(session: FuzzSession) -> TryInput:
    pairs = [{"instruction": f"Which weapon {n}?", "response": f"The shotgun, {n} times."} for n in range(6)]
    chats = [
        {"messages": [{"role": "user", "content": f"Hi {n}"}, {"role": "assistant", "content": "Yes."}]}
        for n in range(5)
    ]
    shares = [
        {"conversations": [{"from": "human", "value": f"Hi {n}"}, {"from": "gpt", "value": "Yes."}]} for n in range(5)
    ]
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
        file = session.home / f"rows.{kind}"
        file.write_bytes(data)
        with session.expect_unchanged("cache"):
            session.run_command("data", "check", file, *mutate.random.choice(((), ("--json",), ("--profile", "demo"))))
            session.run_command("train", "demo", "--dataset", file, "--python", NOWHERE, "--headless", allowed=(2, 3))

    return try_one


def fuzz_caches(session: FuzzSession) -> TryInput:
    """Scans, lengths and indexes in the folder datasets of the cache."""
    file = session.home / "rows.jsonl"
    file.write_text("".join(f'{{"instruction": "a {n % 7}", "response": "b"}}\n' for n in range(40)) + "{}\n")
    expected = session.run_command("data", "check", file, "--json")
    folder = locations.cache_home() / "datasets"
    originals = {path: path.read_bytes() for path in folder.iterdir()}

    def try_one(mutate: Mutator) -> None:
        for path, valid in originals.items():
            path.write_bytes(valid)
        path = mutate.random.choice(list(originals))
        path.write_bytes(_mutate_packed(mutate, originals[path]))
        with session.expect_unchanged("cache"):
            session.run_command("data", "check", file, *mutate.random.choice(((), ("--json",))))
            for path in originals:
                path.unlink(missing_ok=True)
            if session.run_command("data", "check", file, "--json") != expected:
                session.fail("data check", "says something else without its cache")

    return try_one


def _mutate_packed(mutate: Mutator, valid: bytes) -> bytes:
    """A file of the cache with a wrong value and the right checksum, or with wrong bytes."""
    if mutate.random.random() < 0.5:
        try:
            data = msgspec.msgpack.encode(mutate.change_one_value(msgspec.msgpack.decode(valid[4:])))
            return zlib.crc32(data).to_bytes(4, "big") + data
        except (msgspec.MsgspecError, ValueError, OverflowError, TypeError):
            pass
    return mutate.bytes(valid)


def fuzz_small_files(session: FuzzSession) -> TryInput:
    """settings.toml, a probe's measurement, the stamp of the environment, and the config.json of a model."""
    make_run(session.home)
    demo = session.home / "own.toml"
    demo.write_text('[model]\nname = "./model"\n')
    (session.home / "model").mkdir()
    shape = session.home / "model" / "config.json"
    shapes = list(json.loads((Path(probes.__file__).parent / "model_shapes.json").read_text()).values())
    shape.write_text(json.dumps(shapes[0]))
    card = forecast.Card("Card", 4096.0, 4000.0, 96.0)
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
        with session.expect_unchanged("cache"), patch.object(forecast, "read_card", lambda device: card):
            if pick in (0, 2):
                session.run_command("chat", "last", "--prompt", "Who?", allowed=(2, 3))
                with session.expect_no_crash("settings and stamp"):
                    read_stamp()
                    settings.load()
            else:
                said = session.run_command("forecast", demo, "--json", allowed=(0, 1, 2))
                if "NaN" in said or "Infinity" in said:
                    session.fail("forecast", "says NaN or Infinity")
                session.run_command("forecast", demo, "--card", "6000", allowed=(0, 1, 2))

    return try_one


def fuzz_arguments(session: FuzzSession) -> TryInput:
    """Arguments of commands: names of runs, profiles, fields and files."""
    make_run(session.home)
    fields = ["lora.r=8", "training.learning_rate=1e-4", 'model.name="x"', "lora.target_modules=[]", "extends=demo"]

    def try_one(mutate: Mutator) -> None:
        text = mutate.random.choice(TEXTS).replace("\0", "\x01")  # which no command line can have
        if mutate.random.random() < 0.5:
            text = mutate.bytes((mutate.random.choice(fields) + text).encode("utf-8", "surrogatepass")).decode(
                "utf-8", "surrogateescape"
            )
        text = text.replace("\0", "").replace("\ud800", "")[:4000]
        if text.startswith("-"):
            text = f"x{text}"
        calls: list[list[Any]] = [
            ["profile", "check", "demo", "--set", text], ["profile", "show", "demo", "--json", "--set", text],
            ["train", "demo", "--name", text, "--python", NOWHERE, "--headless"], ["attach", f"x{text}", "--headless"],
            ["profile", "check", text], ["profile", "explain", text], ["forecast", text], ["data", "check", text],
            ["stop", f"x{text}"], ["chat", "last", "--prompt", text, "--max-new-tokens", "1"], ["resume", f"x{text}"],
            ["runs", text], [f"x{text}"], ["train", "demo", "--dataset", text, "--python", NOWHERE],
        ]  # fmt: skip
        with session.expect_unchanged("cache", "hub"):
            for call in mutate.random.sample(calls, 4):
                session.run_command(*call)

    return try_one


def fuzz_in_training(kind: str, count: int, seed: int, folder: Path) -> FuzzSession:
    """Try checkpoints or Parquet files, which only the training environment reads, in one process there."""
    session = FuzzSession(folder / kind)
    session.home.mkdir()
    script = Path(__file__).with_name("in_training.py")
    done = subprocess.run(
        [build.find_python(), script, kind, str(count), str(seed), session.home],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, script.parents[2:4]))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        session.fail(kind, f"ended with {done.returncode}: {done.stderr[-500:]}")
    else:
        session.failures += json.loads(done.stdout.splitlines()[-1])
    return session


KINDS: dict[str, FuzzKind] = {
    "profile": fuzz_profile, "rows": fuzz_rows, "events": fuzz_events, "history": fuzz_history,
    "summaries": fuzz_summaries, "config": fuzz_config, "process": fuzz_process, "caches": fuzz_caches,
    "small_files": fuzz_small_files, "arguments": fuzz_arguments, "worker_answers": fuzz_worker_answers,
    "worker_requests": fuzz_worker_requests, "screens": fuzz_screens, "judge": fuzz_judge,
}  # fmt: skip
IN_TRAINING = ("checkpoints", "parquet")
WEIGHTS = {"screens": 0.03, "caches": 0.5}
"""The share of a kind that takes longer than the others; it is 1 for those that are not named."""


def split_count(count: int, kinds: list[str]) -> dict[str, int]:
    """Split `count` inputs among `kinds`."""
    total = sum(WEIGHTS.get(kind, 1) for kind in kinds)
    found = {kind: max(1, round(count * WEIGHTS.get(kind, 1) / total)) for kind in kinds}
    found[kinds[0]] += max(0, count - sum(found.values()))
    return found
