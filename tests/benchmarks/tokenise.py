"""How long it takes to tokenise a dataset: `python tests/benchmarks/tokenise.py --python PYTHON_OF_CODEX_TRAIN`.

The rows are those of make_dataset.py, the tokenizer is the demo's. Each measurement is a process of its own, which
tokenises all rows once, as the trainer does. `--beside CHECKOUT` measures another checkout in turn with this one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
MEASURED = """
import json, sys, time
from training.contract.profile import Profile
from training.dataset.rows import read
from training.dataset.source import local
from training.demo.llama import build_tokenizer
try:
    from training.job.examples import tokenise
except ImportError:  # an older checkout
    from training.job.tokens import tokenise
tokenizer, rows = build_tokenizer(), read(local(sys.argv[1])).rows
profile = Profile.model_validate({"model": {"name": "demo:llama", "max_seq_length": 2048}})
tokenise(rows[:100], tokenizer, profile, eval_rows=set(), progress=lambda *_: None)
wall, cpu = time.perf_counter(), time.process_time()
examples = tokenise(rows, tokenizer, profile, eval_rows=set(), progress=lambda *_: None)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([wall, cpu, sum(len(example["input_ids"]) for example in examples.train)]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=16_069)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--beside", type=Path, help="another checkout")
    args = parser.parse_args()
    checkouts = [HERE, args.beside.resolve()] if args.beside else [HERE]
    found: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "rows.jsonl"
        make = [sys.executable, str(HERE / "tests/benchmarks/make_dataset.py"), str(dataset), "--rows", str(args.rows)]
        subprocess.run(make, check=True)
        for repeat in range(args.repeats):
            for checkout in checkouts:
                wall, cpu, tokens = measure(args.python, checkout, dataset)
                found[checkout].append((wall, cpu))
                print(f"{repeat + 1}  {checkout}  {wall:.2f} s, {cpu:.2f} s of CPU, {tokens:,} tokens", flush=True)
    for checkout, measured in found.items():
        wall, cpu = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"median  {checkout}  {wall:.2f} s, {cpu:.2f} s of CPU")
    return 0


def measure(python: Path, checkout: Path, dataset: Path) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and tokens."""
    environ = os.environ | {"PYTHONPATH": str(checkout), "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run(
        [str(python), "-c", MEASURED, str(dataset)], env=environ, check=True, capture_output=True, text=True
    )
    wall, cpu, tokens = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu, tokens


if __name__ == "__main__":
    sys.exit(main())
