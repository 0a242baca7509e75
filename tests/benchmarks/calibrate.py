"""Fits the few numbers of `training.memory.forecast` to docs/memory.csv, two thirds of it, and reports on the rest.

    PYTHONPATH=.:tests python tests/benchmarks/calibrate.py

Run it with an interpreter that has numpy. Prints the numbers to put into forecast.py, and how far the forecast with the
numbers that stand there now is off the rows it was calibrated on, and off those that were held out.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from support.measured import Run, runs

import training.memory.forecast as forecast
from training.contract.units import MIB
from training.memory.activations import compute_pass_bytes


def parts(run: Run) -> tuple[float, float, float, float]:
    """What is known of a run in MiB: everything but the fitted terms, its rows, largest weight and layer's adapter."""
    trainable = list(forecast.trainable_tensors(run.profile, run.shape))
    rows, loss = compute_pass_bytes(run.profile, run.shape)
    weights = forecast._weights(run.profile, run.shape, int(run.profile.model.offload_layers))
    tables = 4 * max(forecast.ROPE_ROWS, run.profile.model.max_seq_length) * run.shape.head_dim
    state = 8 * sum(trainable) + forecast.optimizer_bytes(trainable, run.profile.training.optim)
    known = weights + state + rows + loss + tables + forecast.WORKSPACE
    largest = 2 * run.shape.hidden_size * run.shape.intermediate_size
    return known / MIB, rows / MIB, largest / MIB, 4 * sum(trainable) / run.shape.num_hidden_layers / MIB


def report(name: str, some: list[Run]) -> None:
    errors = [run.error for run in some]
    worst = max(some, key=lambda run: abs(run.error))
    root = math.sqrt(sum(error**2 for error in errors) / len(errors))
    print(f"{name}: {len(some)} rows, root mean square {root:.2%}, worst {worst.error:+.2%} ({worst.name})")


def main() -> None:
    every = runs()
    seen = [run for run in every if not run.held_out]
    plain = [run for run in seen if run.profile.training.optim != "adamw_torch"]
    known = [parts(run) for run in plain]
    left = np.array([run.allocated_mib - row[0] for run, row in zip(plain, known, strict=True)])
    features = np.array([[row[2], row[3], 1.0] for row in known])
    (scratch, copies, further), *_ = np.linalg.lstsq(features, left, rcond=None)
    print(f"SCRATCH = {scratch:.2f}  LORA_COPIES = {copies:.2f}  OTHER = {further:.0f} * MIB")

    grown = [(run, row) for run, row in zip(plain, known, strict=True) if run.machine.expandable_segments]
    gaps = np.array([run.reserved_mib - run.allocated_mib for run, _ in grown])
    activations = np.array([row[1] + scratch * row[2] for _, row in grown])
    (share, constant), *_ = np.linalg.lstsq(np.stack([activations, np.ones_like(gaps)], 1), gaps, rcond=None)
    print(f"SLACK = {constant:.1f} * MIB  SLACK_SHARE = {share:.3f}")

    fixed = [run for run in plain if not run.machine.expandable_segments and not run.profile.model.offload_embedding]

    def off(pair: tuple[float, float]) -> float:
        forecast.FIXED_SLACK_SHARE, forecast.MAX_FIXED_SLACK = pair[0], pair[1] * MIB
        return max(abs(run.error) for run in fixed)

    standing = forecast.FIXED_SLACK_SHARE, forecast.MAX_FIXED_SLACK
    best = min(itertools.product(np.arange(0.3, 1.0, 0.05), np.arange(300, 601, 20)), key=off)
    forecast.FIXED_SLACK_SHARE, forecast.MAX_FIXED_SLACK = standing
    print(f"FIXED_SLACK_SHARE = {best[0]:.2f}  MAX_FIXED_SLACK = {best[1]} * MIB")

    report("calibrated on", seen)
    report("held out", [run for run in every if run.held_out])
    report("of another family, Qwen 2.5 14B", [run for run in every if run.shape.model_type == "qwen2"])


if __name__ == "__main__":
    main()
