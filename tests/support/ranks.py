"""The run on which several ranks are compared with one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.training_runs import demo_profile
from training.contract.profile import Profile

STEPS, SAVE_STEPS, ROWS = 40, 8, 12


def make_profile(**launch: Any) -> Profile:
    """A run whose epochs end in a step with fewer rows than others, so that one rank has nothing to learn in it."""
    return demo_profile(
        hardware={"device": "cpu"},
        model={"load_in_4bit": False, "dtype": "float32"},
        dataset={"eval_fraction": 0.25, "max_eval_rows": 3},
        training={
            "max_steps": STEPS,
            "per_device_train_batch_size": 3,
            "gradient_accumulation_steps": 2,
            "packing": "off",
        },
        evaluation={"eval_steps": 16, "per_device_eval_batch_size": 1, "sample_max_new_tokens": 4},
        checkpoints={"save_steps": SAVE_STEPS, "save_total_limit": 2},
        launch=launch,
    )


def write_rows(path: Path) -> str:
    """Write ROWS rows of different lengths. Returns the dataset's name."""
    rows = ({"instruction": f"Say {'more ' * n}.", "response": f"It is {'so ' * (ROWS - n)}."} for n in range(ROWS))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)
