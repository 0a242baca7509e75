"""Renders conversations with a model's chat template, and finds the answers in the text.

An answer begins where the prompt for it ends, and it ends with its message: so its end-of-turn token is learned too. In
a template with {% generation %}, what this block encloses is the answer.

The model learns each answer in the form in which it gives the answer. Most templates keep this form when the
conversation goes on. Then one sequence teaches all answers. Others change it: Qwen3 removes the reasoning from earlier
answers, and some show the system message only in the newest question. Such a conversation becomes several sequences;
each ends with one answer, and also teaches the earlier ones that look in it as they were given.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from training.dataset.lengths import Span
from training.dataset.messages import Message
from training.dataset.template_faults import TemplateFaults

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_THINKING = re.compile(r"<think>(.*?)</think>", re.DOTALL)


class TemplateRefusal(Exception):
    """The chat template can't render a conversation, or leaves out a part of it. The text says why."""


@dataclass
class Rendered:
    """A text that the model learns from. `answers` are its characters that are learned: one list of spans an answer."""

    text: str
    answers: list[list[Span]] = field(default_factory=list)


@dataclass
class Conversation:
    """All texts of a conversation, and what the template takes away from its answers."""

    texts: list[Rendered]
    faults: TemplateFaults


@dataclass(slots=True)
class _Answer:
    """A text that ends with an answer, as the model gives it. The answer begins at `start`; `marked` are the spans that
    {% generation %} encloses. `unlike_chat`: in a chat the answer begins with a text that is missing here."""

    text: str
    start: int
    marked: list[Span] | None
    unlike_chat: bool = False


class ChatTemplate:
    """The chat template of `tokenizer`. Raises ValueError if it has none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        special = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        self._end = str(tokenizer.eos_token or "")
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        self._special_texts = tuple({*special.values(), *(str(token) for token in added if token.special)})
        # Some models have another template for conversations with tools.
        self._templates = {
            has_tools: _Template(tokenizer.get_chat_template(tools=[] if has_tools else None), special)
            for has_tools in (False, True)
        }

    def render(self, messages: list[Message], positions: list[int], tools: list[dict[str, Any]] | None) -> Conversation:
        """Render the conversation so that it teaches the answers at `positions`. Raises TemplateRefusal."""
        answers = [self._render_answer(messages, position, tools) for position in positions]
        self._check_nothing_left_out(answers[-1].text, messages, tools)
        faults = TemplateFaults(
            reasoning_lost=sum(map(_lost_reasoning, (messages[position] for position in positions), answers)),
            unlike_chat=sum(answer.unlike_chat for answer in answers),
        )
        texts: list[Rendered] = []
        while answers:
            last = answers[-1]
            ends = [last.text] if len(answers) == 1 else [self._find_in(last, answer) for answer in answers]
            spans = [
                self._list_spans(last, answer.start, len(end)) for answer, end in zip(answers, ends, strict=True) if end
            ]
            texts.append(Rendered(last.text, spans))
            answers = [answer for answer, end in zip(answers, ends, strict=True) if not end]
        return Conversation(texts[::-1], faults)

    def _render_answer(self, messages: list[Message], position: int, tools: Any) -> _Answer:
        prompt, _ = self._render(messages[:position], tools, for_answer=True)
        text, marked = self._render(messages[: position + 1], tools)
        if text.startswith(prompt):
            return _Answer(text, len(prompt), marked)
        same = next((place for place, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), len(text))
        if text.startswith(self._render(messages[:position], tools)[0]):
            # The prompt ends with more than each answer begins with, such as <think>.
            return _Answer(text, self._find_token_start(prompt, same), marked, unlike_chat=True)
        # The template changes the question when it has an answer. The model answers the unchanged one.
        tail = bisect_left(range(1, len(prompt) + 1), True, key=lambda length: prompt[-length:] not in text)
        start = text.rfind(prompt[len(prompt) - tail :]) + tail if tail else same
        return _Answer(prompt + text[start:], len(prompt), None)

    def _find_in(self, last: _Answer, answer: _Answer) -> str:
        """Return the beginning of `last` that ends with `answer`; "" if `last` does not show it as it was given."""
        if last.text.startswith(answer.text):
            return answer.text
        # Some templates write the end-of-text token after the last message only, and an end of turn after each.
        shorter = answer.text.removesuffix(self._end) if self._end else answer.text
        ends_turn = shorter != answer.text and shorter.rstrip().endswith(self._special_texts)
        return shorter if ends_turn and last.text.startswith(shorter) else ""

    def _list_spans(self, last: _Answer, start: int, end: int) -> list[Span]:
        if last.marked is not None:
            return [span for span in last.marked if start < span[1] <= end]
        place = last.text.rfind(self._end, start, end) if self._end else -1
        if place >= 0 and not last.text[place + len(self._end) : end].strip():
            end = place + len(self._end)  # the model stops here; the line end after it belongs to the next message
        return [(start, end)]

    def _find_token_start(self, text: str, place: int) -> int:
        """Find where the token begins that has the character `place` of `text`."""
        if not self._tokenizer.is_fast:
            return place
        encoding = self._tokenizer(text, add_special_tokens=False, verbose=False)
        token = encoding.char_to_token(place)
        return place if token is None else int(encoding.token_to_chars(token).start)

    def _render(
        self, messages: list[Message], tools: Any, *, for_answer: bool = False
    ) -> tuple[str, list[Span] | None]:
        from jinja2 import TemplateError

        try:
            return self._templates[bool(tools)].render(messages, tools, for_answer=for_answer)
        except TemplateError as error:  # some templates have no system role, or require that the roles alternate
            raise TemplateRefusal(str(error)) from error
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise TemplateRefusal(f"it fails with {type(error).__name__}: {error}") from error

    def _check_nothing_left_out(self, text: str, messages: list[Message], tools: Any) -> None:
        """Raise TemplateRefusal if the template does not know tools: it would leave them out without a word."""
        for tool in tools or ():
            if tool["function"]["name"] not in text:
                raise TemplateRefusal("it has no place for tools")
        for message in messages:
            for call in message.get("tool_calls", ()):
                if call["function"]["name"] not in text:
                    raise TemplateRefusal("it leaves out tool calls")
            if message["role"] == "tool":
                content = message["content"].strip()
                if not any(form in text for form in (content, json.dumps(content, ensure_ascii=False)[1:-1],
                                                     json.dumps(content)[1:-1])):  # fmt: skip
                    raise TemplateRefusal("it leaves out the results of tools")


class _Template:
    """A chat template with the special tokens of its tokenizer."""

    def __init__(self, text: str, special: dict[str, str]) -> None:
        self._text, self._special = text, special
        self._has_marks = bool(_GENERATION.search(text))

    def render(self, messages: list[Message], tools: Any, *, for_answer: bool) -> tuple[str, list[Span] | None]:
        """Return the text, and the spans that {% generation %} encloses; None without this block. Raises
        TemplateError."""
        from transformers.utils.chat_template_utils import render_jinja_template

        marked = self._has_marks and not for_answer
        texts, marks = render_jinja_template(
            [messages],
            tools=tools,
            chat_template=self._text,
            add_generation_prompt=for_answer,
            return_assistant_tokens_mask=marked,
            **self._special,
        )
        return texts[0], marks[0] if marked else None


def _lost_reasoning(message: Message, answer: _Answer) -> bool:
    """Whether `answer` lacks the reasoning of its message."""
    parts = [message.get("reasoning_content", ""), *_THINKING.findall(message["content"])]
    return any(part.strip() not in answer.text[answer.start :] for part in parts)
