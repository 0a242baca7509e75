"""Chat templates of several kinds, read off their renderings. Each is a function here, as Jinja would render it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from codex_tui.base.errors import CodexError
from codex_tui.export.go_template import Wrapping, find_wrapping, make_sample_chats
from training.contract.chat_messages import ChatTurn

Template = Callable[[Sequence[ChatTurn]], str]


def chatml(turns: Sequence[ChatTurn]) -> str:
    parts = [f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns]
    return "".join([*parts, "<|im_start|>assistant\n"])


def chatml_with_default(turns: Sequence[ChatTurn]) -> str:
    """Qwen2.5's: another system message if there is none."""
    default = "" if turns[0]["role"] == "system" else "<|im_start|>system\nYou are helpful.<|im_end|>\n"
    return default + chatml(turns)


def llama3(turns: Sequence[ChatTurn]) -> str:
    parts = [f"<|start_header_id|>{t['role']}<|end_header_id|>\n\n{t['content'].strip()}<|eot_id|>" for t in turns]
    return "".join(["<|begin_of_text|>", *parts, "<|start_header_id|>assistant<|end_header_id|>\n\n"])


def gemma(turns: Sequence[ChatTurn]) -> str:
    """Puts the system message into the first question. So what is before a question depends on it."""
    if turns[0]["role"] == "system":
        first = {"role": "user", "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        turns = [first, *turns[2:]]  # type: ignore[list-item]
    names = {"user": "user", "assistant": "model"}
    parts = [f"<start_of_turn>{names[turn['role']]}\n{turn['content']}<end_of_turn>\n" for turn in turns]
    return "".join(["<bos>", *parts, "<start_of_turn>model\n"])


def numbered(turns: Sequence[ChatTurn]) -> str:
    return "".join(f"[{place}]{turn['content']}" for place, turn in enumerate(turns)) + "[a]"


def qwen3(turns: Sequence[ChatTurn]) -> str:
    """Its answer in the history has no thoughts, so a text after an answer depends on the place."""
    text = chatml(turns)
    return text if len(turns) < 4 else text.replace("Почему", "<think></think>Почему")


def without_system(turns: Sequence[ChatTurn]) -> str:
    if turns[0]["role"] == "system":
        raise CodexError("System role not supported.")
    return chatml(turns)


def read(template: Template, system: str | None = None) -> Wrapping | None:
    async def render(turns: Sequence[ChatTurn]) -> str:
        return template(turns)

    return asyncio.run(find_wrapping(render, make_sample_chats(system)))


@pytest.mark.parametrize("template", [chatml, chatml_with_default, llama3, gemma])
def test_texts_around_messages_are_found(template: Template) -> None:
    wrapping = read(template, "Answer in one sentence.")
    assert wrapping is not None
    other = [ChatTurn(role="system", content="S"), ChatTurn(role="user", content="U {{ .Role }}")]
    assert wrapping.render(other) == template(other)
    assert wrapping.render(other[1:]) == template(other[1:])


def test_the_parts_are_whole_tokens() -> None:
    wrapping = read(llama3)
    assert wrapping is not None
    assert wrapping.opening == "<|begin_of_text|>"
    assert wrapping.after_answer == wrapping.after_system == "<|eot_id|>"
    assert wrapping.before_user == "<|start_header_id|>user<|end_header_id|>\n\n"


@pytest.mark.parametrize("template", [numbered, qwen3, without_system])
def test_a_template_that_does_more_has_none_for_ollama(template: Template) -> None:
    assert read(template) is None


def test_fixed_texts_are_quoted_in_go() -> None:
    wrapping = Wrapping("", 'sys "x"\n', "<e>", "<u>", "\\a", "<e>")
    assert wrapping.format_go().splitlines() == [
        "{{- range $i, $m := .Messages }}",
        '{{- if eq $m.Role "system" }}{{ "sys \\"x\\"\\n" }}{{ $m.Content }}{{ "<e>" }}',
        '{{- else if eq $m.Role "user" }}{{ if eq $i 0 }}{{ end }}{{ "<u>" }}{{ $m.Content }}{{ "\\\\a" }}',
        '{{- else if eq $m.Role "assistant" }}'
        '{{ $m.Content }}{{ if gt (len (slice $.Messages $i)) 1 }}{{ "<e>" }}{{ end }}',
        "{{- end }}",
        "{{- end }}",
    ]
