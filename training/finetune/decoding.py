"""Decodes an answer in the middle of training, with keys and values that are computed by the kernels of training.

Unsloth's own decoding with a cache takes other kernels for a single token. With a 4-bit model in training they give
other words than the model itself (docs/measurements.md). A step of two tokens takes the kernels of training. So each
step here computes the last two tokens, and drops the older one of them from the cache before. The first steps are
compared with steps without a cache; if they differ by more than rounding, no later answer uses a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache

CHECKED_STEPS = 4  # of the first answer of adapter and base each
MAX_DIFFERENCE = 0.1  # of the logits, relative: rounding is about a tenth of it


class CheckedDecoder:
    """Pass `decode_with(...)` to `generate` as `custom_generate`. `failure` says why no cache is used, once steps with
    and without it have differed."""

    def __init__(self) -> None:
        self.failure = ""
        self._unchecked = {True: CHECKED_STEPS, False: CHECKED_STEPS}  # with and without the adapter

    def decode_with(self, streamer: Any, *, adapter: bool, use_cache: bool) -> Callable[..., torch.Tensor]:
        """Return the loop for `generate`, which gives the prompt to `streamer` and does not pass it on. `adapter`:
        whether the model's adapter is switched on."""

        def decode(
            model: Any,
            input_ids: torch.Tensor,
            logits_processor: Any,
            stopping_criteria: Any,
            generation_config: Any,
            **_: Any,
        ) -> torch.Tensor:
            cache = _GrowingCache(model)
            while True:
                scores = logits_processor(input_ids, self._find_logits(model, input_ids, cache, adapter, use_cache))
                if generation_config.do_sample:
                    token = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
                else:
                    token = scores.argmax(dim=-1)
                input_ids = torch.cat([input_ids, token[:, None]], dim=-1)
                streamer.put(token.cpu())
                if bool(stopping_criteria(input_ids, None).all()):
                    break
            streamer.end()
            return input_ids

        return decode

    def _find_logits(
        self, model: Any, ids: torch.Tensor, cache: _GrowingCache, adapter: bool, use_cache: bool
    ) -> torch.Tensor:
        if not use_cache or self.failure:
            return compute_logits(model, ids)
        logits = cache.compute_logits(ids)
        if self._unchecked[adapter]:
            self._unchecked[adapter] -= 1
            plain = compute_logits(model, ids)
            difference = float((logits - plain).norm() / plain.norm())
            if not difference <= MAX_DIFFERENCE:
                self.failure = f"logits differ by {difference:.2g} from the model's"
            return plain
        return logits


class _GrowingCache:
    """The keys and values of a text that grows at its end."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._past: Any = None

    def compute_logits(self, ids: torch.Tensor) -> torch.Tensor:
        """Compute the logits after `ids`, which are the text of the last call and what follows."""
        new = ids
        if isinstance(self._past, Cache):  # of transformers' own forward, which has the same kernels for one token
            new = ids[:, self._past.get_seq_length() :]
        elif self._past is not None:  # of Unsloth's forward
            tokens = self._past[0][0].shape[-2] - 1
            self._past = tuple((keys[..., :tokens, :], values[..., :tokens, :]) for keys, values in self._past)
            new = ids[:, tokens:]
        output = self._model(
            input_ids=new,
            attention_mask=torch.ones_like(ids),
            past_key_values=self._past,
            use_cache=True,
            logits_to_keep=1,
            return_dict=True,
        )
        self._past = output.past_key_values
        logits: torch.Tensor = output.logits
        return logits[:, -1].float()


def compute_logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Compute the logits after `ids` from the whole text, without a cache."""
    output = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, logits_to_keep=1, return_dict=True
    )
    logits: torch.Tensor = output.logits
    return logits[:, -1].float()
