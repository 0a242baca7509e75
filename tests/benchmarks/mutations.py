"""Tries broken and hostile inputs:
`python tests/benchmarks/mutations.py [--count 10000] [--seed 1] [--kinds events,rows]`.

Each goes through the code that a person's command would use. Prints one JSON line: how many were tried of each kind,
the exit codes, and the number of failures. The failures are on stderr, each with the seed that makes its input again.
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

from support.fuzz.checks import FuzzSession, fuzz, print_failures  # noqa: E402
from support.fuzz.kinds import IN_TRAINING, KINDS, fuzz_in_training, split_count  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join([*KINDS, *IN_TRAINING]))
    args = parser.parse_args()
    began = time.monotonic()
    sessions: dict[str, FuzzSession] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in split_count(args.count, args.kinds.split(",")).items():
            if name in IN_TRAINING:
                sessions[name] = fuzz_in_training(name, count, args.seed, Path(folder))
            else:
                sessions[name] = fuzz(name, KINDS[name], count, args.seed, Path(folder))
            print(f"{name}: {count} tried, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print_failures(sessions)
    codes: dict[int, int] = {}
    for session in sessions.values():
        for code, times in session.codes.items():
            codes[code] = codes.get(code, 0) + times
    tried = split_count(args.count, args.kinds.split(","))
    failures = sum(len(session.failures) for session in sessions.values())
    print(
        json.dumps({
            "tried": sum(tried.values()), "failures": failures, "seed": args.seed, "by_kind": tried,
            "exit_codes": dict(sorted(codes.items())), "seconds": round(time.monotonic() - began),
        })
    )  # fmt: skip
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
