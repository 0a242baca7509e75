"""Reads the shape of a causal language model from its config.json. The memory forecast is computed from it."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_SIZE, MAX_LAYERS = 10_000_000, 4096  # a config.json with larger numbers belongs to no real model
NEVER_PACKED = ("gemma2", "gpt_oss")  # Unsloth's attention for these ignores where a packed row begins
SHIPPED = Path(__file__).with_name("model_shapes.json")


class NoShape(ValueError):
    """A config.json lacks something that a forecast needs. The text says what."""


@dataclass(frozen=True)
class ModelShape:
    """The fields have the names of `transformers` configs."""

    model_type: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModelShape:
        """Read the shape from the contents of a config.json. Raises NoShape."""
        inner = config.get("text_config")
        config = {**config, **inner} if isinstance(inner, dict) else config
        if any(config.get(key) for key in ("num_experts", "num_local_experts", "n_routed_experts")):
            raise NoShape("it is a mixture of experts, which is not supported yet")
        try:
            heads = _count(config, "num_attention_heads")
            hidden = _count(config, "hidden_size")
            return cls(
                model_type=str(config.get("model_type", "")),
                vocab_size=_count(config, "vocab_size"),
                hidden_size=hidden,
                intermediate_size=_count(config, "intermediate_size"),
                num_hidden_layers=_count(config, "num_hidden_layers", maximum=MAX_LAYERS),
                num_attention_heads=heads,
                num_key_value_heads=_count(config, "num_key_value_heads", heads),
                head_dim=_count(config, "head_dim", max(1, hidden // heads)),
                tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
            )
        except KeyError as missing:
            raise NoShape(f"its config.json has no valid {missing.args[0]}") from None

    def linear(self, module: str) -> tuple[int, int] | None:
        """Return the (input, output) features of one of a layer's seven linear modules; None for any other name."""
        hidden, inner = self.hidden_size, self.intermediate_size
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        return {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }.get(module)

    @property
    def layer_parameters(self) -> int:
        """Number of parameters in the seven linear modules of one layer."""
        modules = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        return sum(rows * columns for rows, columns in map(self.linear, modules) if rows)  # type: ignore[misc]

    @property
    def embedding_parameters(self) -> int:
        return self.vocab_size * self.hidden_size


def _count(config: dict[str, Any], key: str, default: int | None = None, maximum: int = MAX_SIZE) -> int:
    value = config.get(key)
    if value is None and default is not None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= maximum:
        raise KeyError(key)
    return value


@functools.cache
def shipped_configs() -> dict[str, dict[str, Any]]:
    """Load the configs of the models in the shipped profiles, by Hub id, so that their forecasts work offline."""
    configs: dict[str, dict[str, Any]] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return configs
