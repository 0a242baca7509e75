"""Tries inputs that lie: `python tests/benchmarks/mutations.py [--count 10000] [--seed 1] [--kinds events,rows]`.

Each goes through the code that a person's command would use. Prints one JSON line: how many were tried of each kind,
the exit codes met, and the failures, which are told on stderr, each with the seed that makes it again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.fuzz.checks import Bench, attempt, show  # noqa: E402
from support.fuzz.kinds import IN_TRAINING, KINDS, in_training, shares  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join([*KINDS, *IN_TRAINING]))
    args = parser.parse_args()
    began = time.monotonic()
    benches: dict[str, Bench] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in shares(args.count, args.kinds.split(",")).items():
            if name in IN_TRAINING:
                benches[name] = in_training(name, count, args.seed, Path(folder))
            else:
                benches[name] = attempt(name, KINDS[name], count, args.seed, Path(folder))
            print(f"{name}: {count} tried, {time.monotonic() - began:.0f} s", file=sys.stderr)
    show(benches)
    codes: dict[int, int] = {}
    for bench in benches.values():
        for code, times in bench.codes.items():
            codes[code] = codes.get(code, 0) + times
    tried = shares(args.count, args.kinds.split(","))
    failures = sum(len(bench.failures) for bench in benches.values())
    print(
        json.dumps({
            "tried": sum(tried.values()), "failures": failures, "seed": args.seed, "by_kind": tried,
            "exit_codes": dict(sorted(codes.items())), "seconds": round(time.monotonic() - began),
        })
    )  # fmt: skip
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
