"""Computes the memory that a pass through the model needs for its rows and for its loss, in training and evaluation."""

from __future__ import annotations

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.model_shape import ModelShape

LOSS_COLUMNS = 16384  # vocabulary entries in one tile of the loss
INPUTS_ON_GPU = 4  # layer inputs that "unsloth" checkpointing keeps on the GPU at the peak
MIN_PARKED_BYTES = 2 * MIB  # inputs up to this size stay on the GPU
MIN_PARKED_TOKENS = 512  # for shorter sequences, Unsloth uses plain checkpointing
SCORE_BYTES = 6  # of one attention score that is capped and therefore kept, in 16 and in 32 bits
# Gemma 3 attends to all tokens of a packed pass and then masks those of other rows. Backward, this is what one score
# takes: six times 32 bits, and 16 bits. Forward, it takes half.
MASKED_SCORE_BYTES = 26


def compute_pass_bytes(profile: Profile, shape: ModelShape) -> tuple[float, float]:
    """Compute two numbers of bytes: what the rows of the largest pass need at its peak, and how much more than that the
    loss needs.

    One layer keeps its input, both norms' outputs, queries, keys, values, the attention's output and the three inner
    activations. The kind of checkpointing decides whether the layers' inputs are on the GPU or in host memory.
    """
    tokens = profile.model.max_seq_length * profile.pass_rows
    hidden, inner = 2 * tokens * shape.hidden_size, 2 * tokens * shape.intermediate_size
    attention = _compute_attention_bytes(shape, tokens, profile.model.max_seq_length)
    # The backward pass computes the scores again, so those of one layer exist at a time.
    scores = MASKED_SCORE_BYTES * tokens**2 * shape.num_attention_heads if masks_rows(profile, shape) else 0
    checkpointing = profile.training.gradient_checkpointing
    if checkpointing is False:
        layers = shape.num_hidden_layers * (4.25 * hidden + attention + 2.5 * inner) + scores
    else:
        parks = checkpointing == "unsloth" and profile.model.max_seq_length >= MIN_PARKED_TOKENS
        on_gpu = INPUTS_ON_GPU if parks and hidden > MIN_PARKED_BYTES else shape.num_hidden_layers
        layers = (6 + on_gpu) * hidden + attention + max(3 * inner, scores)
    layers += 4 * tokens * (shape.num_attention_heads + 2)  # the statistics of attention and norms
    tile = min(tokens, count_tile_tokens(profile.training.loss_tile_mib))
    loss = 6 * hidden + tile * (4 * LOSS_COLUMNS + 6 * shape.hidden_size)
    layers = max(layers, _compute_evaluation_bytes(profile, shape))
    return layers, max(0.0, loss - layers)


def _compute_attention_bytes(shape: ModelShape, tokens: int, length: int) -> float:
    """Compute the bytes of queries, keys, values and the attention's output of `tokens` tokens in rows of `length`, and
    of the scores where the model caps them, which Gemma 2 does."""
    scores = SCORE_BYTES * tokens * length * shape.num_attention_heads if shape.model_type == "gemma2" else 0
    return 4 * tokens * (shape.num_attention_heads + shape.num_key_value_heads) * shape.head_dim + scores


def masks_rows(profile: Profile, shape: ModelShape) -> bool:
    """Whether the rows of a pass attend to each other and are then masked, which takes memory for each pair of tokens
    of the pass. A pass with a single row takes less."""
    return shape.model_type.startswith("gemma3") and profile.training.packing != "off"


def count_tile_tokens(tile_mib: int) -> int:
    """Count the tokens of one tile of the loss."""
    return min(4096, max(1, tile_mib * MIB // (4 * LOSS_COLUMNS)))


def compute_tile_bytes(profile: Profile) -> int:
    """Compute the bytes of the largest block of the loss: its scores for one tile of tokens and of the vocabulary."""
    tokens = min(profile.model.max_seq_length * profile.pass_rows, count_tile_tokens(profile.training.loss_tile_mib))
    return 4 * LOSS_COLUMNS * tokens


def _compute_evaluation_bytes(profile: Profile, shape: ModelShape) -> float:
    """Compute the bytes that the largest pass of an evaluation needs at its peak. It needs more than training where
    per_device_eval_batch_size is larger, or where long rows are padded. No layer keeps anything, and the loss computes
    no gradients.

    Padded rows have a mask with two bytes for each pair of tokens, and a copy of it while it is made. Packed rows, and
    a batch of one row, have none, except for the masked scores of Gemma 3.
    """
    if not profile.dataset.eval_fraction and profile.evaluation.book is None:
        return 0.0
    length, batch = profile.model.max_seq_length, profile.evaluation.per_device_eval_batch_size
    tokens = length * batch
    hidden, inner = 2 * tokens * shape.hidden_size, 2 * tokens * shape.intermediate_size
    attention = _compute_attention_bytes(shape, tokens, length)
    pairs = 4 * tokens * length if batch > 1 and profile.training.packing == "off" else 0
    if masks_rows(profile, shape):
        pairs = MASKED_SCORE_BYTES // 2 * tokens**2 * shape.num_attention_heads
    tile = min(tokens, count_tile_tokens(profile.training.loss_tile_mib))
    return max(
        6 * hidden + attention + 3 * inner + pairs, 2 * hidden + tile * (4 * LOSS_COLUMNS + 6 * shape.hidden_size)
    )
