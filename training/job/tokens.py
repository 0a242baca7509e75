"""Turns rows into token ids and labels. The trainer and the sample viewer both use it, so the viewer shows exactly what
the model learns.

A row's messages go through the model's chat template. The model learns the answers, and everything else is masked.
Plain text is learned whole. A row is one sequence of tokens; where the chat template changes earlier answers, it is
several (see chat_template.py).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from training.contract.dataset_table import Dataset
from training.dataset.lengths import Span
from training.dataset.messages import Message
from training.dataset.shapes import Row
from training.dataset.template_faults import TemplateFaults
from training.job.chat_template import ChatTemplate, Conversation, Rendered, TemplateRefusal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # cross-entropy skips tokens with this label
END_TOKENS = 3  # an answer's end-of-turn token is one of its last tokens


@dataclass(frozen=True, slots=True)
class Encoded:
    """A sequence of token ids, whole or cut. `spans` are its parts that are learned, in order."""

    input_ids: list[int]
    spans: tuple[Span, ...]

    @property
    def learned_tokens(self) -> int:
        return sum(end - start for start, end in self.spans)

    def cut(self, max_seq_length: int) -> Encoded:
        if len(self.input_ids) <= max_seq_length:
            return self
        spans = tuple((start, min(end, max_seq_length)) for start, end in self.spans if start < max_seq_length)
        return Encoded(self.input_ids[:max_seq_length], spans)

    @property
    def labels(self) -> list[int]:
        labels = [IGNORED] * len(self.input_ids)
        for start, end in self.spans:
            labels[start:end] = self.input_ids[start:end]
        return labels


@dataclass(slots=True)
class EncodedRow:
    """The sequences of a row. `refusal` says why the chat template can't render the row; it then has no sequences."""

    sequences: list[Encoded] = field(default_factory=list)
    refusal: str = ""
    faults: TemplateFaults = field(default_factory=TemplateFaults)


def with_system_prompt(messages: list[Message], system_prompt: str | None) -> list[Message]:
    """Put the system prompt before `messages`, unless they begin with a system message of their own."""
    if not system_prompt or messages[0]["role"] == "system":
        return messages
    return [{"role": "system", "content": system_prompt}, *messages]


class RowEncoder:
    """Encodes rows for the profile's table `dataset`: conversations in the model's chat format, plain text as it is."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, dataset: Dataset) -> None:
        self._tokenizer, self._dataset = tokenizer, dataset
        self._template: ChatTemplate | None = None
        added = getattr(tokenizer, "added_tokens_decoder", {}).items()
        self._special_ids = {*tokenizer.all_special_ids, *(token for token, text in added if text.special)}

    def encode(self, rows: Sequence[Row]) -> list[EncodedRow]:
        """Encode a batch of rows. It is as long as `rows`."""
        encoded = [EncodedRow() for _ in rows]
        texts: list[tuple[EncodedRow, Rendered]] = []
        plain: list[tuple[EncodedRow, str]] = []
        for row, result in zip(rows, encoded, strict=True):
            if row.text is not None:
                plain.append((result, row.text))
                continue
            try:
                conversation = self.render(row)
            except TemplateRefusal as refusal:
                result.refusal = str(refusal)
                continue
            result.faults = conversation.faults
            texts += [(result, rendered) for rendered in conversation.texts]
        encodings = self._encode_texts([rendered.text for _, rendered in texts], add_special_tokens=False)
        for (result, rendered), (ids, encoding) in zip(texts, encodings, strict=True):
            self._add_sequence(result, rendered, ids, encoding)
        encodings = self._encode_texts([text for _, text in plain], add_special_tokens=True)
        for (result, text), (ids, _) in zip(plain, encodings, strict=True):
            result.sequences.append(self._finish_plain(text, ids))
        return encoded

    def _encode_texts(self, texts: list[str], *, add_special_tokens: bool) -> Iterator[tuple[list[int], Any]]:
        """Encode texts, on all cores. Yield for each the ids, and an object that knows the characters of each token;
        None if the tokenizer does not tell them."""
        if not self._tokenizer.is_fast:
            for text in texts:
                encoded = self._tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)
                yield list(encoded["input_ids"]), None
            return
        backend = self._tokenizer.backend_tokenizer  # twice as fast as the tokenizer itself, with the same ids
        backend.no_truncation()
        backend.no_padding()
        for encoding in backend.encode_batch(texts, add_special_tokens=add_special_tokens):
            yield encoding.ids, encoding

    def render(self, row: Row) -> Conversation:
        """Render a row that is a conversation. Raises TemplateRefusal."""
        return self._render(row, self._dataset.system_prompt)

    def _render(self, row: Row, system_prompt: str | None) -> Conversation:
        if self._template is None:
            self._template = ChatTemplate(self._tokenizer)
        messages = with_system_prompt(row.messages, system_prompt)
        answers = row.answers if self._dataset.learn == "all_answers" else row.answers[-1:]
        added = len(messages) - len(row.messages)
        return self._template.render(messages, [added + answer for answer in answers], row.tools)

    def ignores_system(self, row: Row) -> bool:
        """Whether the chat template silently leaves out the system message of `row`."""
        without = replace(row, messages=[message for message in row.messages if message["role"] != "system"])
        removed = len(row.messages) - len(without.messages)
        without = replace(without, answers=tuple(answer - removed for answer in row.answers))
        try:
            return self.render(row).texts == self._render(without, None).texts
        except TemplateRefusal:
            return False

    def _add_sequence(self, row: EncodedRow, rendered: Rendered, ids: list[int], encoding: Any) -> None:
        spans: list[Span] = []
        for answer in rendered.answers:
            places = [self._find_tokens(rendered.text, ids, encoding, span) for span in answer]
            spans += [span for span in places if span[0] < span[1]]
            ends = [token for start, end in places for token in ids[max(start, end - END_TOKENS) : end]][-END_TOKENS:]
            row.faults.endless += self._special_ids.isdisjoint(ends)
        row.sequences.append(Encoded(ids, tuple(spans)))

    def _find_tokens(self, text: str, ids: list[int], encoding: Any, span: Span) -> Span:
        """Find the tokens that have any of the characters in `span`."""
        start, end = span
        places = range(len(ids))
        if encoding is not None:
            return (
                bisect_right(places, start, key=lambda token: encoding.token_to_chars(token)[1]),
                bisect_left(places, end, key=lambda token: encoding.token_to_chars(token)[0]),
            )
        first, last = (  # a tokenizer without offsets: count the tokens before each place
            len(ids) if place == len(text) else self._count_same(text[:place], ids) for place in (start, end)
        )
        return first, last

    def _count_same(self, beginning: str, ids: list[int]) -> int:
        before = self._tokenizer(beginning, add_special_tokens=False, verbose=False)["input_ids"]
        return next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))

    def _finish_plain(self, text: str, ids: list[int]) -> Encoded:
        """Give a plain text the tokens for its beginning and its end, once each."""
        tokenizer = self._tokenizer
        if ids[:2] == [tokenizer.bos_token_id] * 2:  # the text has one, and the tokenizer added another
            del ids[0]
        if text.rstrip().endswith(str(tokenizer.eos_token)):
            if ids[-2:] == [tokenizer.eos_token_id] * 2:
                del ids[-1]
        elif ids[-1:] != [tokenizer.eos_token_id]:
            ids.append(tokenizer.eos_token_id)
        return Encoded(ids, ((1, len(ids)),))  # nothing comes before the first token, so it can't be learned


def describe_refusal(row: Row, reason: str) -> str:
    return f"line {row.line}: the model's chat template refuses this row: {reason.rstrip('.')}."
