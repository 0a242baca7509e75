"""Draws a conversation: the system message, the questions, the answers and what is to be said about each."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET
from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from codex_tui.ui.kit.side_by_side import MIN_SIDE_BY_SIDE, lay_side_by_side, mark_differences
from codex_tui.workers.chat import Conversation
from codex_tui.workers.turns import Turn

Paragraph = tuple[tuple[Turn, ...], Content]
"""The turns that the paragraph belongs to, two of them where answers are side by side, and its text."""


def draw_conversation(chat: Conversation, picked: Turn | None, width: int) -> Iterator[Paragraph]:
    """Draws everything that was said. `picked` is the answer that a person has picked. Two answers to one question are
    side by side if `width` cells have room for them, else below each other."""
    if chat.notice:  # above the questions, so that it scrolls away and hides no answer
        yield from (((), text) for text in (line((clean(chat.notice), "$warning")), Content("")))
    yield from (((), text) for text in _draw_system_prompt(chat))
    was_long = False
    for turn in chat.turns:
        if turn.role == "user":
            yield from (((turn,), row) for row in _draw_question(turn.text))
            continue
        is_long = _is_longer_than_rows(chat, turn)
        notes = list(_draw_notes(chat, turn, is_long and not was_long))
        was_long = is_long
        if turn.other:
            yield from _draw_both(chat, turn, turn.other, picked, width)
        elif turn.ended or chat.status != "loading":
            yield from (((turn,), row) for row in _draw_answer(turn, clean(turn.text, newlines=True), turn is picked))
        yield from (((turn,), row) for row in notes)
        if not turn.open_answer:
            yield (turn,), Content("")
    yield from (((), row) for row in _draw_waiting(chat))


def _draw_both(chat: Conversation, turn: Turn, other: Turn, picked: Turn | None, width: int) -> Iterator[Paragraph]:
    """Draws the answers of both models, with the words that only one of them has."""
    texts, same = mark_differences(turn.text, other.text, ended=bool(turn.ended and other.ended))
    blocks: list[list[Content]] = []
    for answer, text in zip((turn, other), texts, strict=True):
        block = [line((clean(answer.by).capitalize(), f"bold {ACCENT}"))]
        if answer.ended or answer.text:
            block += _draw_answer(answer, text, answer is picked)
        elif chat.status == "loading":
            block.append(line(("waits for the model", MUTED)))
        else:
            block.append(line(("▌" if answer is turn.open_answer else "waits for its turn", MUTED)))
        blocks.append(block)
    if width >= MIN_SIDE_BY_SIDE:
        yield from (((turn, other), row) for row in lay_side_by_side(width, *blocks))
    else:
        yield from (((turn,), row) for row in [*blocks[0], Content("")])
        yield from (((other,), row) for row in blocks[1])
    if same:
        yield (turn, other), line((same, MUTED))


def _draw_system_prompt(chat: Conversation) -> Iterator[Content]:
    if chat.form.text:
        return
    edited = chat.settings.system_prompt is not UNSET
    label = "system (edited)  " if edited else "system  "
    if chat.system_prompt:
        yield line((label, ACCENT), (clean(chat.system_prompt, newlines=True), MUTED))
        yield Content("")
    elif edited and chat.form.system_prompt:
        yield line((label, ACCENT), ("no message", MUTED))
        yield Content("")


def _draw_question(text: str) -> Iterator[Content]:
    first, *rest = clean(text, newlines=True).split("\n")
    yield line(("› ", f"bold {ACCENT}"), (first, STRONG))
    yield from (line("  ", (row, STRONG)) for row in rest)


def _draw_answer(turn: Turn, text: Content | str, picked: bool) -> Iterator[Content]:
    """Draws the clean `text` of an answer, and what is to be said about it."""
    content = Content(text) if isinstance(text, str) else text
    if not turn.ended:
        yield from Content.assemble(content, "▌").split("\n", allow_blank=True)
        return
    if content.plain.strip():
        yield from content.rstrip().split("\n", allow_blank=True)
    elif turn.ended != "failed":
        yield line(("(empty answer)", MUTED))
    facts = [turn.by, turn.sampling]
    if turn.tokens and turn.seconds:
        facts.append(f"{pluralize(turn.tokens, 'token')}, {turn.tokens / turn.seconds:.0f} tokens/s")
    mark = ("▌ picked  ", f"bold {ACCENT}") if picked else ""
    yield line(mark, (" · ".join(filter(None, [_describe_end(turn), *facts])), MUTED))


def _describe_end(turn: Turn) -> str:
    match turn.ended:
        case "length":
            return f"stopped at the {figures.format_count(turn.tokens)}-token limit"
        case "context":
            return "stopped at the end of the model's context"
        case "eos":
            return ""
    return turn.ended


def _draw_notes(chat: Conversation, turn: Turn, is_long: bool) -> Iterator[Content]:
    if turn.of_newer_adapter:
        yield line(("The run has saved its adapter again. This answer is the new one's.", MUTED))
    if turn.left_out:
        context = f"the model's context of {chat.context or 0:,} tokens"
        left_out = f"{turn.left_out:,} tokens of the text" if chat.form.text else f"{turn.left_out:,} messages"
        yield line((f"The first {left_out} did not fit into {context}. They were left out.", "$warning"))
    if is_long:
        limit = f"{chat.form.max_tokens or 0:,} tokens"
        subject = "The text" if chat.form.text else "The conversation"
        hint = "" if chat.form.text else " ctrl+l starts a new one."
        yield line((f"{subject} is longer than the rows it learned from ({limit}).{hint}", MUTED))


def _is_longer_than_rows(chat: Conversation, turn: Turn) -> bool:
    longest = chat.form.max_tokens
    return longest is not None and turn.by != "base" and turn.prompt_tokens + turn.tokens > longest


def _draw_waiting(chat: Conversation) -> Iterator[Content]:
    for question in chat.waiting:
        yield from _draw_question(question.text)
        yield line(("  waits for the model" if chat.status == "loading" else "  waits for its turn", MUTED))


def draw_state(chat: Conversation, *, run_ended: bool, place: str) -> Iterator[Content]:
    """Draws what is to be said below the conversation: who will answer, what is loaded, and what went wrong. `place` is
    the other machine that has the run, "" for this one."""
    if not chat.turns:
        yield from _draw_welcome(chat, run_ended, place)
    if chat.status == "loading":
        progress = f" {chat.progress[0]:,} / {chat.progress[1]:,}" if chat.progress else ""
        phase = clean(chat.phase)
        yield line((f"{phase[:1].upper()}{phase[1:]}{progress} …", MUTED))
    if chat.wait:
        yield line((f"The answer {clean(chat.wait)} …", MUTED))
    if chat.error:
        yield line((f"✗ {clean(chat.error.message, newlines=True)}", "bold $error"))
        if chat.error.hint:
            yield line((clean(chat.error.hint, newlines=True), MUTED))
        if chat.status == "failed":
            yield line(("The next question loads the model again.", MUTED))
    if chat.fast_model and chat.fast_model.is_older:
        yield line(("The file was exported before the run saved its adapter again. Export it again.", "$warning"))
    if chat.status == "ready" and chat.outdated:
        yield line(("The run has saved its adapter. The next question loads it.", MUTED))


def _draw_welcome(chat: Conversation, run_ended: bool, place: str) -> Iterator[Content]:
    adapter = chat.adapter
    if chat.form.text:
        yield line(("This run learned plain text. Begin a text, and the model continues it.", MUTED))
        loads = " The first text loads the model." if chat.status == "off" else ""
        yield line((f"Enter in the empty field continues it further.{loads}", MUTED))
    elif adapter:
        loads = " The first one loads the model." if chat.status == "off" and not chat.in_trainer else ""
        yield line((f"Ask a question.{loads}", MUTED))
    if chat.in_trainer:
        yield line(("The trainer answers at the end of a step, with the adapter as it is then.", MUTED))
    elif adapter and adapter.step is not None:
        why = "the run saved no adapter" if run_ended else "the run saves its adapter when it ends"
        yield line((f"{adapter.name.capitalize()} answers: {why}.", MUTED))
    elif not adapter and run_ended:
        yield line(("The run saved no adapter. You talk to the base model.", MUTED))
    elif not adapter:
        yield line(("No adapter yet. You talk to the base model.", MUTED))
        if place:
            yield line((f"The run is on {clean(place)}: its trainer can't answer here.", MUTED))
            return
        yield line(("While it trains, ctrl+b lets the trainer answer, with the adapter as it is then.", MUTED))
