"""Simulates runs with a time limit: `python tests/benchmarks/fitted_runs.py [--runs 1000]`.

Their speed drifts from half to twice the usual one, steps vary, and one in 300 stalls for up to 15 times its time. It
prints how many saved their adapter too late, the last learning rates, the largest change of a rate from one step to the
next (as shares of the highest rate), and the share of the time that was left. A thousand runs take a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.fitted_runs import largest_change, simulate_at_random  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    count = parser.parse_args().runs
    runs = [simulate_at_random(seed) for seed in range(count)]
    late = sum(run.saved_at > seconds for seconds, run in runs)
    print(f"too late: {late} of {count}")
    print_percentiles("last rate", [run.rates[-1] for _, run in runs])
    print_percentiles("largest change", [largest_change(run.rates) for _, run in runs])
    print_percentiles("time left", [(seconds - run.ended_at) / seconds for seconds, run in runs])
    print_percentiles("refits", [float(len(run.totals)) for _, run in runs])


def print_percentiles(name: str, values: list[float]) -> None:
    ordered = sorted(values)
    half, most = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    print(f"{name:<16} median {half:.4f}, 99 % below {most:.4f}, highest {ordered[-1]:.4f}")


if __name__ == "__main__":
    main()
