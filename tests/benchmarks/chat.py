"""Chat beside Unsloth's own decoding, and answers in batches beside one by one, on one GPU.

    PYTHONPATH=. python tests/benchmarks/chat.py [--shape 3b] [--pairs 5] [--tokens 128] [--work DIR]

Run it with an interpreter that has the training stack. One run of a few steps makes an adapter; then all programs load
it at once and take turns. `ours` decodes as a chat does, `ours-plain` without CUDA graphs, `unsloth` with Unsloth's
`for_inference`. `--shape demo` trains the demo, asks its questions, and compares the words; the models of the other
shapes have random weights, so their words mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gpu
from speed import Script, start_program

from codex_tui.profiles.resolve import load_profile
from training.contract.run_directory import RunDirectory

HERE = Path(__file__).resolve().parent
KINDS = ("ours", "ours-plain", "unsloth")
WORDS_QUESTIONS = 30
BATCH_ANSWERS = 200


def make_run(shape: str, work: Path) -> RunDirectory:
    """Train an adapter that a chat can load."""
    if shape == "demo":
        demo = load_profile(gpu.ROOT / "profiles" / "demo.toml")
        config = gpu.config_of(demo, demo.dataset.path or "", work / "cache")
    else:
        config = gpu.shaped(shape, 4, 512, work)
        config["profile"]["dataset"]["eval_fraction"] = 0.0
    run = RunDirectory(work / "run")
    run.create()
    run.config.write_text(json.dumps(config))
    print(json.dumps({"run": shape, **gpu.train(run)}), flush=True)
    return run


def compare_words(scripts: list[Script]) -> None:
    """Ask questions of the sample, and count the answers that are the same words."""
    sample = gpu.ROOT / "training" / "demo" / "zombie_waves.jsonl"
    rows = [json.loads(line) for line in sample.read_text(encoding="utf-8").splitlines()[:WORDS_QUESTIONS]]
    questions = [row["instruction"] for row in rows]
    for adapter in (True, False):
        answers = {
            script.name: [
                script.ask(json.dumps({"question": question, "adapter": adapter, "tokens": 96}))["text"]
                for question in questions
            ]
            for script in scripts
        }
        plain = answers["ours-plain"]
        same = {name: sum(map(str.__eq__, texts, plain)) for name, texts in answers.items()}
        print(json.dumps({"answers_equal_to_plain": same, "of": len(questions), "adapter": adapter}), flush=True)


def take_turns(scripts: list[Script], pairs: int, tokens: int) -> None:
    for adapter in (True, False):
        command = json.dumps({"question": "Say 7." * 20, "adapter": adapter, "tokens": tokens})
        for script in scripts:
            script.ask(command)  # warm-up
            script.turns.clear()
        for _ in range(pairs):
            for script in scripts:
                script.turns.append(script.ask(command))
        for script in scripts:
            rates = [turn["tokens"] / turn["seconds"] for turn in script.turns]
            figures = {
                "script": script.name,
                "adapter": adapter,
                "tokens_per_second": round(statistics.median(rates), 1),
                "lowest": round(min(rates), 1),
                "highest": round(max(rates), 1),
                "first_token_s": round(statistics.median(turn["first"] for turn in script.turns), 4),
                **script.ask(
                    json.dumps({"question": "Say 7." * 20, "adapter": adapter, "tokens": 32, "profile": True})
                ),
            }
            print(json.dumps({name: value for name, value in figures.items() if name != "text"}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="3b")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--only-batches", action="store_true", help="leave out the chat")
    parser.add_argument("--answers", type=int, default=BATCH_ANSWERS, help="in batches")
    parser.add_argument("--work", type=Path, default=None)
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(gpu.ROOT), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(dir=args.work) as temporary:
        work = Path(temporary)
        run = make_run(args.shape, work)
        kinds = () if args.only_batches else KINDS
        began = time.monotonic()
        scripts = [start_program("chat_meter.py", kind, [kind, str(run.path)], work, {}) for kind in kinds]
        for script in scripts:
            print(
                json.dumps({"script": script.name, **script.read(), "waited_s": round(time.monotonic() - began, 1)}),
                flush=True,
            )
        if scripts and args.shape == "demo":
            compare_words(scripts)
        if scripts:
            take_turns(scripts, args.pairs, args.tokens)
        for script in scripts:
            script.process.kill()
        command = [sys.executable, str(HERE / "chat_meter.py"), "batches", str(run.path)]
        if args.shape != "demo" or args.only_batches:
            subprocess.run([*command, str(args.answers), str(args.tokens)], check=True)


if __name__ == "__main__":
    main()
