"""Lets the model answer in the middle of its training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from peft import PeftModel

USE_CACHE = False
"""Don't use the key-value cache: with it, on a GPU, Unsloth's decoding of a 4-bit model in training gives other words
than the model itself, and than the chat gives later (docs/measurements.md)."""


@contextmanager
def let_answer(model: PeftModel, *, bf16: bool, fp16: bool) -> Iterator[Callable[[], AbstractContextManager[Any]]]:
    """Prepare `model` to answer, and for training again at the end. Yields a function that returns the context in which
    the model computes with the precision of the run. Greedy answers use no random numbers, so training continues
    exactly as without them."""
    from unsloth import FastLanguageModel

    dtype = torch.bfloat16 if bf16 else torch.float16
    FastLanguageModel.for_inference(model)
    try:
        yield lambda: torch.autocast(model.device.type, dtype, enabled=bf16 or fp16)
    finally:
        FastLanguageModel.for_training(model)


@contextmanager
def without_adapter(model: PeftModel) -> Iterator[None]:
    """Let `model` compute as its base model does. Restores which weights are trained, as PEFT changes that."""
    trained = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        with model.disable_adapter():
            yield
    finally:
        for weight, is_trained in trained:
            weight.requires_grad_(is_trained)
