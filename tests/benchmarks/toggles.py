"""Single changes to the trainer, for the table of what each costs. `meter.py` applies them; no run has them.

METER_VARLEN=1 lets torch 2.11 attend with one kernel for all rows of a pass, as torch 2.12 and newer do: the kernel is
the same, only the function before it refused grouped heads. METER_TOGGLE names one of the functions below, with "-".
"""

from __future__ import annotations

import os
from typing import Any


def prepare() -> None:
    """Apply what Unsloth reads when it is imported."""
    if not os.environ.get("METER_VARLEN"):
        return
    import torch.nn.attention.varlen as varlen

    original = varlen.varlen_attn

    def varlen_attn(*arguments: Any, enable_gqa: bool = False, window_size: Any = (-1, -1), **options: Any) -> Any:
        return original(*arguments, window_size=window_size, **options)

    varlen.varlen_attn = varlen_attn
    varlen._should_use_cudnn = lambda *_: False


def apply() -> None:
    """Apply the change that METER_TOGGLE names."""
    name = os.environ.get("METER_TOGGLE", "").replace("-", "_")
    if name:
        {"bf16_adapters": bf16_adapters, "no_token_count": no_token_count, "no_callbacks": no_callbacks,
         "even_passes": even_passes}[name]()  # fmt: skip


def bf16_adapters() -> None:
    """Train the adapter's weights in bfloat16, as Unsloth leaves them."""
    import torch

    from training.finetune import sft

    build = sft.build_trainer

    def build_trainer(*arguments: Any, **options: Any) -> Any:
        trainer = build(*arguments, **options)
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(torch.bfloat16)
        return trainer

    sft.build_trainer = build_trainer


def no_token_count() -> None:
    """Don't count the tokens of each step."""
    from training.finetune import sft

    config = sft.SFTConfig
    sft.SFTConfig = lambda **options: config(**options | {"include_num_input_tokens_seen": "no"})


def no_callbacks() -> None:
    """Report nothing."""
    from training.finetune import sft

    sft.build_callbacks = lambda *_: []


def even_passes() -> None:
    """Fill each pass up to a multiple of 64 tokens, so that fewer shapes of matrices occur."""
    import torch

    from training.finetune import trainer

    split = trainer.split_into_passes

    def split_evenly(batch: dict[str, Any], pass_tokens: int) -> Any:
        for part in split(batch, pass_tokens):
            missing = -part["input_ids"].shape[1] % 64
            if missing:
                fill = {"input_ids": torch.zeros, "labels": torch.ones, "position_ids": torch.zeros}
                for name, make in fill.items():
                    values = make((1, missing), dtype=torch.long, device=part[name].device)
                    if name == "labels":
                        values = values * -100
                    if name == "position_ids":
                        values = torch.arange(missing, device=part[name].device)[None]
                    part[name] = torch.cat([part[name], values], dim=1)
                if "packed_seq_lengths" in part:
                    lengths = part["packed_seq_lengths"]
                    part["packed_seq_lengths"] = torch.cat([lengths, lengths.new_tensor([missing])])
            yield part

    trainer.split_into_passes = split_evenly
