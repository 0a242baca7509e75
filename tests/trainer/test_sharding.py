"""What FSDP needs of PyTorch. Sharing a whole run needs Triton; docs/cards.md has what was seen there."""

from __future__ import annotations

from support.training_runs import Trainer


def test_shared_parameters_train_in_float32(trainer: Trainer) -> None:
    types = trainer.run_program("sharding", "train_in_float32")
    assert types == {"parameters": ["torch.float32"], "shares": ["torch.float32"], "states": ["torch.float32"]}
