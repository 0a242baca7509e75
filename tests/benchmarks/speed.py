"""Speed of training beside bare Unsloth: wall time, GPU-busy time, kernels and memory, for long and for short rows.

    PYTHONPATH=. python tests/benchmarks/speed.py [long] [short] [--shape 3b] [--pairs 5] [--steps 4] [--work DIR]

Run it with an interpreter that has the training stack. All scripts of a table are loaded at once and take turns of
`--steps` steps, so that a noisy host slows all of them. The model has random weights and the shape of a real one.
`--shape demo` takes the demo's model, and needs no GPU.
`--variant NAME=VALUE` adds our trainer once more with that environment variable. `--scripts` loads only these scripts
of a table, and measures no evaluation: two have more of the host for themselves than six.

The time of a step on a large GPU is that of the CPU which launches the kernels, and varies between equal processes too:
so all of them take their turns on the same cores, and `--copies 2` loads each script twice. How many Python functions
a step calls does not vary.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
from gpu import PROFILE, ROOT, config_of

from codex_tui.profiles.resolve import load_profile
from training.contract.run_directory import RunDirectory

HERE = Path(__file__).resolve().parent
SHORT_ROWS = (18, 33)  # words of the answers: about 163 tokens a row with the demo's tokenizer
EVAL_ROWS = 64
WARM_UP = 3  # steps
PROFILED = 2  # steps of long rows; the passes of a step of short rows vary, so more of these
PROFILED_SHORT = 4
PACKED_ROWS = 48  # rows a step of the comparison with bare packing, whose step is 4 packs of about 12 rows
CORES = 4  # on which the scripts take turns
VARLEN = {"METER_VARLEN": "1"}  # see toggles.py


@dataclass
class Script:
    """One fine-tune that waits for commands."""

    name: str
    process: subprocess.Popen[str]
    answers: IO[str]
    log: Path
    turns: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            sys.exit(f"{self.name} ended: {self.log.read_text()[-3000:]}")
        return json.loads(line)


def start_program(program: str, name: str, arguments: list[str], work: Path, environ: dict[str, str]) -> Script:
    """Start a program beside this one, which answers on the descriptor METER_FD."""
    read, write = os.pipe()
    log = work / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[write],
            env=os.environ | {"METER_FD": str(write)} | environ,
            text=True,
            cwd=work,
        )
    os.close(write)
    return Script(name, process, os.fdopen(read), log)


def write_rows(path: Path, count: int, words: tuple[int, int]) -> None:
    """Rows whose answers have between `words[0]` and `words[1]` words of six letters."""
    dice = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    with path.open("w") as file:
        for number in range(count):
            answer = " ".join("".join(dice.choices(letters, k=6)) for _ in range(dice.randint(*words)))
            file.write(json.dumps({"instruction": f"Say {number}.", "response": answer}) + "\n")


def make_config(model: str, rows: Path, work: Path, *, accumulation: int, packing: str) -> dict[str, Any]:
    profile = load_profile(PROFILE)
    tables = {
        "model": profile.model.model_copy(update={"name": model, "max_seq_length": 2048}),
        "dataset": profile.dataset.model_copy(update={"eval_fraction": EVAL_ROWS / 4000, "max_eval_rows": EVAL_ROWS}),
        "training": profile.training.model_copy(
            update={"max_steps": 10_000, "gradient_accumulation_steps": accumulation, "packing": packing}
        ),
        "evaluation": profile.evaluation.model_copy(update={"eval_steps": 10_000}),
        "checkpoints": profile.checkpoints.model_copy(update={"save_steps": 10_000}),
    }
    return config_of(profile.model_copy(update=tables), str(rows), work / "cache")


def compare(table: str, model: str, work: Path, args: argparse.Namespace) -> None:
    work = work / table
    work.mkdir()
    rows = work / "rows.jsonl"
    write_rows(rows, 4000, SHORT_ROWS if table == "short" else (2048, 2048))
    scripts = []

    def add(name: str, *options: str, accumulation: int = 4, packing: str = "off", **env: str) -> None:
        if args.scripts and name not in args.scripts:
            return
        config = make_config(model, rows, work, accumulation=accumulation, packing=packing)
        for copy in range(args.copies):
            run = RunDirectory(work / f"{name}-{copy}")
            run.create()
            run.config.write_text(json.dumps(config))
            ours = name.startswith("ours")
            arguments = ["ours", str(run.path)] if ours else ["bare", str(run.config), str(run.path / "bare"), *options]
            scripts.append(start_program("meter.py", run.name, arguments, work, env))

    add("bare")
    if table == "short":
        add("bare-packing", "--packing")
        add("ours-4-rows", packing="auto")
        for name in ("auto", "pack"):
            add(f"ours-{PACKED_ROWS}-rows-{name}", packing=name, accumulation=PACKED_ROWS)
        add("bare-packing-varlen", "--packing", **VARLEN)
        for name in ("auto", "pack"):
            add(f"ours-{PACKED_ROWS}-rows-{name}-varlen", packing=name, accumulation=PACKED_ROWS, **VARLEN)
    else:
        for name in ("off", "pack", "auto"):
            add(f"ours-{name}", packing=name)
    for variant in args.variant:
        name, _, value = variant.partition("=")
        add(f"ours-{variant}", packing="auto", **{name: value})
    if not scripts:
        print(f'The table "{table}" has no script of these names: {", ".join(args.scripts)}.', file=sys.stderr)
    for script in scripts:
        script.read()
    for script in scripts:
        script.ask(f"steps {WARM_UP}")
    share_cores(scripts)
    for _ in range(args.pairs):
        for script in scripts:
            script.turns.append(script.ask(f"steps {args.steps}"))
    profiled = PROFILED_SHORT if table == "short" else PROFILED
    for script in scripts:
        report(table, script, script.ask(f"calls {profiled}"), script.ask(f"profile {profiled}"), scripts[0])
    for script in scripts:
        if not args.scripts and not script.name.startswith("ours-METER"):
            print(
                json.dumps({"table": f"{table}, evaluation", "script": script.name, **script.ask("evaluate")}),
                flush=True,
            )
    for script in scripts:
        script.process.kill()


def share_cores(scripts: list[Script]) -> None:
    """Let all threads of the scripts run on the same cores."""
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    for script in scripts:
        for thread in psutil.Process(script.process.pid).threads():
            os.sched_setaffinity(thread.id, cores)


def report(table: str, script: Script, called: dict[str, Any], profiled: dict[str, Any], first: Script) -> None:
    rates, firsts = ([turn["tokens"] / turn["seconds"] for turn in each.turns] for each in (script, first))
    figures = {
        "table": table,
        "script": script.name,
        "tokens_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "median_of_pairs": round(statistics.median(mine / other for mine, other in zip(rates, firsts, strict=True)), 3),
        "tokens_a_step": round(sum(turn["tokens"] for turn in script.turns) / sum(1 for _ in script.turns)),
        "python_calls_per_1000_tokens": round(1000 * called["calls"] / called["tokens"]),
        "kernels_per_1000_tokens": round(1000 * profiled.get("kernels", 0) / profiled["tokens"], 1),
        "busy_ms_per_1000_tokens": round(1e6 * profiled.get("busy_seconds", 0) / profiled["tokens"], 2),
        "reserved_mib": profiled.get("reserved_mib"),
        "allocated_mib": profiled.get("allocated_mib"),
    }
    print(json.dumps(figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", choices=["long", "short"], default=["long", "short"])
    parser.add_argument("--shape", default="3b")
    parser.add_argument("--pairs", type=int, default=5, help="turns of each script")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--scripts", nargs="+", metavar="NAME", help='such as "bare-packing" and "ours-48-rows-auto"')
    parser.add_argument("--copies", type=int, default=1, help="processes of each script")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--work", type=Path, default=None, help="a folder with room for the model")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        model = "demo:llama" if args.shape == "demo" else str(work / args.shape)
        if args.shape != "demo":
            subprocess.run([sys.executable, str(HERE / "random_models.py"), args.shape, model], check=True)
        for table in args.tables:
            compare(table, model, work, args)


if __name__ == "__main__":
    main()
