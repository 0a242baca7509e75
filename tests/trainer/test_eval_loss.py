"""The evaluation loss is the mean over the learned tokens, whatever the size of a batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.training_runs import Trainer, demo_profile, events

from training.contract.profile import Profile
from training.dataset.rows import read
from training.dataset.source import local
from training.dataset.split import choose_eval_rows

LONG_ANSWER = "Buy the shield first, then the shotgun, and hold the door until the last wave is over."


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with very short and very long answers, so that a mean over batches depends on which rows share a batch."""
    path = tmp_path_factory.mktemp("data") / "mixed.jsonl"
    rows = (
        {"instruction": f"Question {number}?", "response": LONG_ANSWER if number % 3 == 0 else f"{number}"}
        for number in range(32)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def profile(batch_size: int) -> Profile:
    return demo_profile(
        model={"load_in_4bit": False, "dtype": "float32"},  # as in measure_loss
        dataset={"eval_fraction": 0.25},
        training={"max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 0.02, "warmup_steps": 0},
        evaluation={"eval_steps": 1, "per_device_eval_batch_size": batch_size},
        checkpoints={"save_steps": 1},
    )


def test_the_eval_loss_does_not_depend_on_the_batch_size(trainer: Trainer, dataset: Path) -> None:
    losses: dict[int, list[float]] = {}
    for batch_size in (1, 3):  # 3 leaves a smaller batch at the end
        run = trainer.run(f"batches-of-{batch_size}", profile(batch_size), str(dataset))
        assert trainer.train(run) == 0, run.log.read_text()
        losses[batch_size] = [event["eval_loss"] for event in events(run, "eval")]
        # The best checkpoint and the patience go by this history.
        states = (run.checkpoints / f"checkpoint-{step}" / "trainer_state.json" for step in (1, 2))
        history = [json.loads(path.read_text())["log_history"] for path in states]
        assert [[entry["eval_loss"] for entry in logged if "eval_loss" in entry] for logged in history] == [
            losses[batch_size][:1],
            losses[batch_size],
        ]
    assert losses[3] == pytest.approx(losses[1], rel=1e-3)

    rows = read(local(str(dataset))).rows
    held_out = [rows[position] for position in sorted(choose_eval_rows(len(rows), profile(1)))]
    pairs = [[row.messages[0]["content"], row.messages[1]["content"]] for row in held_out]
    base = json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    over_tokens, over_rows = trainer.run_program("adapters", "measure_loss", base, str(run.adapter), json.dumps(pairs))
    assert abs(over_rows - over_tokens) > 0.02 * over_tokens  # the rows tell the two means apart
    assert losses[3][-1] == pytest.approx(over_tokens, rel=5e-3)
