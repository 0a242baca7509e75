"""The line above a chat, and the keys that its pane offers."""

from __future__ import annotations

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.workers.chat import Conversation


def draw_heading(chat: Conversation, text: SearchableText) -> tuple[Content, Content]:
    """Draw who answers, and the keys that change it; during a search, what it has found in `text`."""
    if text.needle:
        count = text.matches
        matches = f"{count:,} match{'' if count == 1 else 'es'}"
        return line((matches, STRONG), (f" of “{clean(text.needle)}”", MUTED)), Content("")
    does = " continues the text" if chat.form.text else " answers"
    device = " in the trainer" if chat.in_trainer else f" on {clean(chat.device)}" if chat.device else ""
    sampling = f" · {chat.settings.sampling}" if chat.settings.sampling else ""
    name = chat.by if chat.fast_model else chat.by.capitalize()
    return line((name, STRONG), (f"{does}{device}{sampling}", MUTED)), _draw_switches(chat)


def _draw_switches(chat: Conversation) -> Content:
    if chat.fast_model:
        switches = [("ctrl+g", " base and adapter")]
    else:
        switches = [("ctrl+g", f" {chat.fast.name}   ")] if chat.fast else []
        switches += [("ctrl+o", " base ⇄ adapter")] if chat.adapter else []
    return line(*(part for key, text in switches for part in ((key, f"bold {ACCENT}"), (text, MUTED))))


def list_hints(
    chat: Conversation, *, typing: bool, searched: bool, has_answers: bool, trains: bool = False
) -> list[Hint]:
    """List the keys. `typing`: the question has the focus. `searched`: matches of a search are marked. `trains`: the
    run has not ended."""
    keys: list[Hint] = [("ctrl+s", "settings")]
    if trains and not chat.fast_model:
        keys.append(("ctrl+b", "who answers"))
    if chat.adapter and not chat.fast_model:
        keys.append(("ctrl+o", "base" if chat.answers_with_adapter else "adapter"))
        keys.append(("ctrl+r", "ask both"))
    if chat.fast:
        keys.append(("ctrl+g", "adapter" if chat.fast_model else chat.fast.name))
    if chat.turns:
        keys.append(("ctrl+l", "clear"))
    if chat.status == "answering":
        return [("Esc", "stop the answer"), *keys]
    verb = "continue" if chat.form.text else "ask"
    if typing:
        return [("Enter", verb), ("ctrl+j", "new line"), keys[0], ("Esc", "leave chat"), *keys[1:]]
    if searched:
        return [("n N", "next, previous match"), ("/", "search"), ("Esc", "end the search")]
    own: list[Hint] = [("c", verb)]
    if has_answers:
        own += [("y", "copy"), ("← →", "pick an answer"), ("/", "search")]
    return [*own, *keys]
