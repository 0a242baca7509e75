"""Decodes an answer with a CUDA graph. One token of a small model is hundreds of kernels, which a CPU launches slower
than the GPU runs them; a graph launches all of them at once. The words stay those of the plain model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, DynamicCache, StaticCache
from transformers.cache_utils import StaticLayer

ATTENTION = "codex_tui_one_token"
SLOTS_STEP = 512  # the cache grows by this many tokens, because each size needs graphs of its own
WARM_UP_STEPS = 2  # before a graph is recorded: libraries allocate their buffers in the first steps
CHECKED_STEPS = 8  # of each graph are run without it too
CHECKED_AT_ONCE = 4  # of them in one answer, so that the next answer is checked as well
MAX_DIFFERENCE = 0.1  # of the logits, relative: rounding is about a tenth of it

NextLogits = Callable[[torch.Tensor], torch.Tensor]  # from the last token, (1,), to logits of shape (1, vocabulary)
Step = Callable[[], torch.Tensor]


class GraphDecoder:
    """Generates one answer at a time, with keys and values in tensors that stay in place from answer to answer.

    Pass `decode_with(...)` to `generate` as `custom_generate`. The first steps of each graph are compared with steps
    without it. If a graph can't be recorded or computes something else, the same loop goes on without graphs. `record`
    turns a step into a function that repeats it.
    """

    def __init__(self, record: Callable[[Step], Step] | None = None) -> None:
        self._record = record or record_graph
        self._cache: StaticCache | None = None
        self._slots = 0
        self._steps: dict[bool, Step] = {}  # with and without the adapter
        self._unchecked: dict[bool, int] = {}  # steps that are still to be compared
        self._token: Any = None  # the input of a step
        self.failure: str | None = None
        """Why graphs are not used, once one could not be recorded or was wrong."""

    @staticmethod
    def supports(model: Any) -> bool:
        """Return whether `model` is on a GPU and each of its layers attends to all tokens before."""
        cache = StaticCache(model.config, max_cache_len=1)
        return model.device.type == "cuda" and all(type(layer) is StaticLayer for layer in cache.layers)

    def decode_with(self, adapter: bool, streamer: Any = None) -> Callable[..., torch.Tensor]:
        """Return the loop for `generate`. `adapter`: whether the model's adapter is switched on. `generate` gives the
        prompt to `streamer`, and does not pass it on."""

        def decode(
            model: Any,
            input_ids: torch.Tensor,
            logits_processor: Any,
            stopping_criteria: Any,
            generation_config: Any,
            **inputs: Any,
        ) -> torch.Tensor:
            prompt = DynamicCache(config=model.config)
            output = model(
                input_ids=input_ids,
                attention_mask=inputs["attention_mask"],
                past_key_values=prompt,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = output.logits[:, -1]
            find_next: NextLogits | None = None
            while True:
                scores = logits_processor(input_ids, logits.float())
                if generation_config.do_sample:
                    token = torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)
                else:
                    token = scores.argmax(dim=-1)
                input_ids = torch.cat([input_ids, token[:, None]], dim=-1)
                if streamer:
                    streamer.put(token.cpu())
                if bool(stopping_criteria(input_ids, None).all()):
                    break
                if find_next is None:  # after the first token, so that nobody waits for it longer
                    find_next = self._prepare(model, adapter, prompt, stopping_criteria.max_length)
                logits = find_next(token)
            if streamer:
                streamer.end()
            return input_ids

        return decode

    def _prepare(self, model: Any, adapter: bool, prompt: DynamicCache, max_length: int) -> NextLogits:
        """Return the step that goes on after `prompt`."""

        def run_plain(token: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = model(input_ids=token[:, None], past_key_values=prompt, use_cache=True).logits
            return logits[:, -1]

        if self.failure is not None:
            return run_plain
        try:
            replay = self._prepare_graph(model, adapter, prompt, max_length)
        except RuntimeError as error:  # out of memory, or an operation that can't be recorded
            self._give_up(str(error))
            return run_plain
        left = min(self._unchecked[adapter], CHECKED_AT_ONCE)

        def run(token: torch.Tensor) -> torch.Tensor:
            nonlocal left
            if self.failure is not None:
                return run_plain(token)
            logits = replay(token)
            if left:
                left -= 1
                self._unchecked[adapter] -= 1
                plain = run_plain(token)
                difference = float((logits - plain).float().norm() / plain.float().norm())
                if not difference <= MAX_DIFFERENCE:
                    self._give_up(f"a graph's logits differ by {difference:.2g} from the model's")
                    return plain
            return logits

        return run

    def _prepare_graph(self, model: Any, adapter: bool, prompt: DynamicCache, max_length: int) -> NextLogits:
        if self._cache is None or max_length > self._slots:
            self._forget()
            self._slots = -(-max_length // SLOTS_STEP) * SLOTS_STEP
            self._cache = StaticCache(model.config, max_cache_len=self._slots)
            self._token = torch.zeros((1, 1), dtype=torch.long, device=model.device)
            for layer, filled in zip(self._cache.layers, prompt.layers, strict=True):
                layer.lazy_initialization(filled.keys, filled.values)
        if adapter not in self._steps:
            self._cache.reset()
            self._steps[adapter] = self._record(lambda: self._run(model))
            self._unchecked[adapter] = CHECKED_STEPS
        for layer, filled in zip(self._cache.layers, prompt.layers, strict=True):
            tokens = filled.keys.shape[-2]
            layer.keys[:, :, :tokens] = filled.keys
            layer.values[:, :, :tokens] = filled.values
            layer.cumulative_length.fill_(tokens)
        step = self._steps[adapter]

        def replay(token: torch.Tensor) -> torch.Tensor:
            self._token.copy_(token[:, None])
            return step()

        return replay

    def _run(self, model: Any) -> torch.Tensor:
        """Run the model on the token in its place, at the position that the cache has reached."""
        assert self._cache
        position = self._cache.get_seq_length().clone()  # the cache counts on while the layers run
        slots = torch.arange(self._slots, device=model.device)
        mask = torch.zeros(self._slots, dtype=model.dtype, device=model.device)
        mask = mask.masked_fill(slots > position, float("-inf"))
        device = model.device.type
        dtype, on = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        # A weight that autocast casts and keeps is freed after the answer, and the graph would still read it.
        with torch.autocast(device, dtype, enabled=on, cache_enabled=False), attend_to_slots(model):
            output = model(
                input_ids=self._token,
                attention_mask=mask[None, None, None],
                position_ids=position[None, None],
                past_key_values=self._cache,
                use_cache=True,
            )
        logits: torch.Tensor = output.logits
        return logits[:, -1]

    def _give_up(self, reason: str) -> None:
        self._forget()
        self.failure = reason

    def _forget(self) -> None:
        """Give the memory of the cache and the graphs back."""
        self._steps.clear()
        self._cache, self._slots = None, 0
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def record_graph(step: Step) -> Step:
    """Record the kernels of `step`. Returns a function that launches all of them at once, and returns the same tensor
    with new values each time."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = step()

    def replay() -> torch.Tensor:
        graph.replay()
        return output

    return replay


@contextmanager
def attend_to_slots(model: Any) -> Iterator[None]:
    """Let the layers of `model` attend with `attend`, which doesn't copy the keys and values of grouped heads."""
    config = model.config
    before = config._attn_implementation
    AttentionInterface.register(ATTENTION, attend)
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def attend(
    module: Any,  # noqa: ARG001
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend from one token, whose `query` has shape (1, heads, 1, width), to `key` and `value`, of shape
    (1, groups, slots, width). The heads of a group take the places of tokens, since all of them see the same slots.

    Returns a tensor of shape (1, 1, heads, width).
    """
    batch, heads, _, width = query.shape
    groups = key.shape[1]
    grouped = query.view(batch, groups, heads // groups, width)
    mask = attention_mask.to(query.dtype).expand(batch, 1, heads // groups, -1)
    output = torch.nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return output.reshape(batch, heads, 1, width).transpose(1, 2), None
