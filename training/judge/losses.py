"""Measures the loss of each learned token, as the training does: with its masks, and with the end token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import isfinite
from typing import Any

from training.contract.config import RowForm
from training.contract.failures import TrainingFailure
from training.contract.judgement import Loss, Question
from training.dataset.shapes import Row
from training.job.answers import pad_left
from training.job.tokens import Encoded, RowEncoder, with_system_prompt
from training.judge.models import Computes, Speaker

MAX_LOGITS_BYTES = 256 * 2**20  # of one batch; a vocabulary of 128,000 needs 0.5 MB a token in full precision
MAX_BATCH = 32
POSITIONS = 256  # that are converted to full precision at once

TokenLosses = list[float]
"""The loss of each learned token of a sequence."""


def encode_references(
    questions: Sequence[Question], places: Sequence[int], speaker: Speaker, context: int | None
) -> Iterator[tuple[int, Encoded]]:
    """Yield each of the `places` with its question and reference, encoded as a training row. Leaves out those that the
    template refuses, and those that are longer than the model's context."""
    encoder = RowEncoder(speaker.tokenizer, speaker.job.profile.dataset)
    for place in places:
        sequence = _encode_reference(questions[place], speaker, encoder)
        if sequence and (context is None or len(sequence.input_ids) <= context):
            yield place, sequence


def _encode_reference(question: Question, speaker: Speaker, encoder: RowEncoder) -> Encoded | None:
    if speaker.form.text:
        begin = "".join(turn["content"] for turn in question.messages)
        encoded = encoder.encode([_make_row(RowForm(text=True), question, begin + question.reference)])[0]
        ids = encoded.sequences[0].input_ids
        before = speaker.tokenizer(begin, verbose=False)["input_ids"]
        same = next((place for place, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
        return Encoded(ids, ((max(1, same), len(ids)),))
    encoded = encoder.encode([_make_row(speaker.form, question, "")])[0]
    return encoded.sequences[-1] if encoded.sequences else None


def _make_row(form: RowForm, question: Question, text: str) -> Row:
    if form.text:
        return Row(0, question.line, {}, "text", (), [], text=text)
    turns = with_system_prompt(question.messages, form.system_prompt)
    messages = [*turns, {"role": "assistant", "content": question.reference}]
    return Row(0, question.line, {}, "messages", (), messages, (len(messages) - 1,), question.tools)


def measure_losses(
    models: Computes, model: Any, speaker: Speaker, sequences: Sequence[Encoded]
) -> Iterator[tuple[int, TokenLosses]]:
    """Yield the place of each sequence and its losses, those of a batch together. A sequence with a loss that is no
    number is left out. Raises TrainingFailure."""
    import torch

    token_bytes = 6 * int(model.config.get_text_config().vocab_size)
    waiting = sorted(range(len(sequences)), key=lambda place: len(sequences[place].input_ids))
    size = MAX_BATCH
    while waiting:
        batch = _choose_batch([sequences[place] for place in waiting[:size]], token_bytes)
        try:
            losses = _measure(models, model, speaker, batch)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(batch) == 1:
                raise TrainingFailure(
                    "gpu_memory",
                    f"A row of {len(batch[0].input_ids):,} tokens needs more GPU memory than is free.",
                    "Close other programs that use the card.",
                ) from error
            size = len(batch) // 2
            continue
        pairs = zip(waiting[: len(batch)], losses, strict=True)
        yield from ((place, tokens) for place, tokens in pairs if isfinite(sum(tokens)))
        del waiting[: len(batch)]


def _choose_batch(sequences: list[Encoded], token_bytes: int) -> list[Encoded]:
    """Choose as many of the sequences as have room for their logits, at least one."""
    for size in range(len(sequences), 1, -1):
        if size * max(_count_kept(sequence) for sequence in sequences[:size]) * token_bytes <= MAX_LOGITS_BYTES:
            return sequences[:size]
    return sequences[:1]


def _count_kept(sequence: Encoded) -> int:
    """Count the positions from the one before the first learned token to the end."""
    start = sequence.spans[0][0] if sequence.spans else len(sequence.input_ids)
    return len(sequence.input_ids) - start + 1


def _measure(models: Computes, model: Any, speaker: Speaker, batch: list[Encoded]) -> list[TokenLosses]:
    import torch

    pad = speaker.tokenizer.pad_token_id or 0
    ids, mask = pad_left([sequence.input_ids for sequence in batch], pad, model.device)
    kept = max(map(_count_kept, batch))
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode(), models.autocast():
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=kept
        ).logits
        losses = []
        for row, sequence in zip(logits, batch, strict=True):
            length = len(sequence.input_ids)
            learned = [place for start, end in sequence.spans for place in range(max(1, start), end)]
            tokens: TokenLosses = []
            for begin in range(0, len(learned), POSITIONS):
                places = learned[begin : begin + POSITIONS]
                # The token before a place predicts it. The last of the kept positions is the last token.
                rows = row[[kept - length + place - 1 for place in places]].float()
                labels = torch.tensor([sequence.input_ids[place] for place in places], device=row.device)
                tokens += torch.nn.functional.cross_entropy(rows, labels, reduction="none").tolist()
            losses.append(tokens)
    return losses


def add_losses(sequences: Iterable[TokenLosses]) -> Loss:
    tokens = [loss for sequence in sequences for loss in sequence]
    return Loss(total=sum(tokens), tokens=len(tokens))
