"""Writes a model's chat template as a template of Ollama, where both render the same.

Ollama has templates in Go's language, and models have Jinja. There is no translation of one into the other. But most
chat templates only put fixed texts around each message. These texts are read off a rendering, and then both are
compared on sample conversations. If one differs, the template does more, and there is none for Ollama.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from codex_tui.base.errors import CodexError
from training.contract.chat_messages import ChatTurn

Render = Callable[[Sequence[ChatTurn]], Awaitable[str]]

_SYSTEM, _USER, _ANSWER, _NEXT = "qsystemq", "quserq", "qanswerq", "qnextq"


@dataclass(frozen=True)
class Wrapping:
    """The fixed texts around messages. `opening` comes first if there is no system message. `after_user` includes the
    beginning of the answer."""

    opening: str
    before_system: str
    after_system: str
    before_user: str
    after_user: str
    after_answer: str

    def render(self, turns: Sequence[ChatTurn]) -> str:
        """Render a conversation as Ollama does with `format_go`."""
        parts = []
        for place, turn in enumerate(turns):
            match turn["role"]:
                case "system":
                    parts += [self.before_system, turn["content"], self.after_system]
                case "user":
                    parts += ["" if place else self.opening, self.before_user, turn["content"], self.after_user]
                case "assistant":
                    parts += [turn["content"], self.after_answer if place < len(turns) - 1 else ""]
        return "".join(parts)

    def format_go(self) -> str:
        """Return the template. Fixed texts are quoted, so that no line break around them counts."""
        return "\n".join(
            (
                "{{- range $i, $m := .Messages }}",
                '{{- if eq $m.Role "system" }}'
                f"{_quote(self.before_system)}{{{{ $m.Content }}}}{_quote(self.after_system)}",
                '{{- else if eq $m.Role "user" }}'
                f"{{{{ if eq $i 0 }}}}{_quote(self.opening)}{{{{ end }}}}"
                f"{_quote(self.before_user)}{{{{ $m.Content }}}}{_quote(self.after_user)}",
                '{{- else if eq $m.Role "assistant" }}'
                "{{ $m.Content }}"
                f"{{{{ if gt (len (slice $.Messages $i)) 1 }}}}{_quote(self.after_answer)}{{{{ end }}}}",
                "{{- end }}",
                "{{- end }}",
            )
        )


def _quote(text: str) -> str:
    """Return the action that prints `text`. A JSON string is a string of Go."""
    return f"{{{{ {json.dumps(text)} }}}}" if text else ""


def make_sample_chats(system: str | None) -> list[list[ChatTurn]]:
    """Make the conversations on which a template is proven. `system` is the run's own system message."""
    texts = (
        "Which weapon first?",
        'The "Scattergun",\nthen {{ the }} bow.',
        "Почему? Why — 1 < 2 & 3 > 2.",
        "Yes.",
        "Ok",
    )
    roles = ("user", "assistant")
    turns = [ChatTurn(role=roles[place % 2], content=text) for place, text in enumerate(texts)]
    systems = ("You are brief.", *([system.strip()] if system and system.strip() else []))
    chats = [turns[:1], turns[:3], turns]
    for text in systems:
        chats += [[ChatTurn(role="system", content=text), *chat] for chat in chats[:3]]
    return chats


async def find_wrapping(render: Render, chats: Sequence[Sequence[ChatTurn]]) -> Wrapping | None:
    """Find the fixed texts of the chat template that `render` uses. None if the template does more, so that one of
    `chats` is rendered otherwise."""
    try:
        wrapping = await _read_wrapping(render)
        if wrapping is None:
            return None
        for chat in chats:
            if wrapping.render(chat) != await render(chat):
                return None
    except CodexError:  # the template refuses such a conversation, for example a system message
        return None
    return wrapping


async def _read_wrapping(render: Render) -> Wrapping | None:
    user = ChatTurn(role="user", content=_USER)
    turns = [
        ChatTurn(role="system", content=_SYSTEM),
        user,
        ChatTurn(role="assistant", content=_ANSWER),
        ChatTurn(role="user", content=_NEXT),
    ]
    whole = re.split(f"{_SYSTEM}|{_USER}|{_ANSWER}|{_NEXT}", await render(turns))
    alone = (await render([user])).split(_USER)
    if (len(whole), len(alone)) != (5, 2):
        return None
    before_system, between_system_and_user, _, between_answer_and_user, after_user = whole
    before_user = _find_common_end(alone[0], between_system_and_user, between_answer_and_user)
    return Wrapping(
        opening=alone[0].removesuffix(before_user),
        before_system=before_system,
        after_system=between_system_and_user.removesuffix(before_user),
        before_user=before_user,
        after_user=after_user,
        after_answer=between_answer_and_user.removesuffix(before_user),
    )


def _find_common_end(*texts: str) -> str:
    """Return the longest common end of `texts` that does not begin within a special token, such as <|eot|>."""
    from_the_end = zip(*(reversed(text) for text in texts), strict=False)
    length = sum(1 for _ in takewhile(lambda characters: len(set(characters)) == 1, from_the_end))
    end = texts[0][len(texts[0]) - length :]
    return end if end in texts else re.sub(r"^[^<\[]*[>\]]", "", end)
