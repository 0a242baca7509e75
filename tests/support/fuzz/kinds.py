"""The kinds of input that may lie, each with the commands that a person would meet it with."""

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
from codex_tui.environment import build
from codex_tui.environment.build import read_stamp
from codex_tui.machine import forecast
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.resolve import load_profile
from codex_tui.profiles.toml_text import CannotEdit
from support.fuzz.checks import NOWHERE, Bench, Kind, Try
from support.fuzz.mutate import TEXTS, Mutator
from support.fuzz.runs import config, events, history, make_run, process, screens
from support.fuzz.workers import asked, workers
from training.memory import probes


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
            bench.command(
                "train", file, "--dataset", "demo:zombie-waves", "--python", NOWHERE, "--headless", allowed=(2, 3)
            )
            with bench.guard("the editor", CannotEdit):
                draft = Draft.open(file)
                draft.set("lora.r", "16")
                draft.set("lora.r", None)

    return try_one


def rows(bench: Bench) -> Try:
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
        file = bench.home / f"rows.{kind}"
        file.write_bytes(data)
        with bench.untouched("cache"):
            bench.command("data", "check", file, *mutate.random.choice(((), ("--json",), ("--profile", "demo"))))
            bench.command("train", "demo", "--dataset", file, "--python", NOWHERE, "--headless", allowed=(2, 3))

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
    """A file of the cache that lies in a value, its checksum right, or in its bytes."""
    if mutate.random.random() < 0.5:
        try:
            data = msgspec.msgpack.encode(mutate._changed(msgspec.msgpack.decode(whole[4:])))
            return zlib.crc32(data).to_bytes(4, "big") + data
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
        with bench.untouched("cache"), patch.object(forecast, "read_card", lambda device: card):
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
        with bench.untouched("cache", "hub"):
            for call in mutate.random.sample(calls, 4):
                bench.command(*call)

    return try_one


def in_training(kind: str, count: int, seed: int, folder: Path) -> Bench:
    """Checkpoints and Parquet files, which only the training environment reads: all in one process of it."""
    bench = Bench(folder / kind)
    bench.home.mkdir()
    script = Path(__file__).with_name("in_training.py")
    done = subprocess.run(
        [build.find_python(), script, kind, str(count), str(seed), bench.home],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, script.parents[2:4]))},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        bench.fail(kind, f"ended with {done.returncode}: {done.stderr[-500:]}")
    else:
        bench.failures += json.loads(done.stdout.splitlines()[-1])
    return bench


KINDS: dict[str, Kind] = {
    "profile": profile, "rows": rows, "events": events, "history": history, "config": config, "process": process,
    "caches": caches, "small_files": small_files, "arguments": arguments,
    "workers": workers, "asked": asked, "screens": screens,
}  # fmt: skip
IN_TRAINING = ("checkpoints", "parquet")
WEIGHTS = {"screens": 0.03, "caches": 0.5}
"""A kind that takes longer has fewer; 1 where nothing is said."""


def shares(count: int, kinds: list[str]) -> dict[str, int]:
    """`count` inputs over `kinds`."""
    whole = sum(WEIGHTS.get(kind, 1) for kind in kinds)
    found = {kind: max(1, round(count * WEIGHTS.get(kind, 1) / whole)) for kind in kinds}
    found[kinds[0]] += max(0, count - sum(found.values()))
    return found
