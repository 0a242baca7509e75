"""The command palette: what each command does, and the runs, profiles and fields that it finds."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from textual.binding import Binding
from textual.command import Hit, Hits, Provider
from textual.keys import format_key
from textual.message import Message
from textual.widgets import Input, TextArea

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.ui.messages import OpenProfile, OpenRun, ShowField
from training.contract.run_directory import RunDirectory

_EDITING = {item.action for widget in (Input, TextArea) for item in widget.BINDINGS if isinstance(item, Binding)}
_MOVING = {"move", "page", "shift", "page_left", "page_right", "focus_next", "focus_previous", "copy_text"}

DESCRIPTIONS = {
    "quit": "Ends the app. A training run continues.",
    "leave('quit')": "Ends the app. A training run continues.",
    "profiles": "Lists the profiles: choose one and start training.",
    "leave('profiles')": "Lists the profiles: choose one and start training.",
    "runs": "Lists the runs, live and ended ones.",
    "leave('runs')": "Lists the runs, live and ended ones.",
    "help": "Shows all keys, first those of this screen.",
    "toggle_theme": "Changes between light and dark colours, and remembers the choice.",
    "command_palette": "Finds commands, runs, profiles and fields by name.",
    "pane('chart')": "Shows the losses of the run.",
    "pane('gpu')": "Shows memory, load, temperature and power of the GPU.",
    "pane('samples')": "Shows what the model answers, and the rows of the dataset.",
    "pane('chat')": "Asks the adapter or the base model.",
    "pane('log')": "Shows the trainer's log.",
    "choose_way": "Lets the trainer of the run answer, or parks the run so that the chat has the whole card.",
    "pane('seen')": "Shows the row as the model sees it.",
    "pane('raw')": "Shows the row as it is in the file.",
    "pane('tokens')": "Shows the row token by token.",
    "pane('overview')": "Shows the totals of the dataset: lengths, cut rows, steps.",
    "rows": "Changes between the run's answers and the rows of its dataset.",
    "toggle_rows": "Changes between the run's answers and the rows of its dataset.",
    "toggle_raw": "Changes between the raw row and the model's view of it.",
    "zoom": "Shows only one pane, or all of them again.",
    "zoom(0.5)": "Shows fewer steps in the chart, around the one that the cursor reads.",
    "zoom(2.0)": "Shows more steps in the chart.",
    "curve": "Draws another curve, such as the learning rate, or the evaluation losses of compared runs.",
    "log_scale": "Draws the losses on a logarithmic axis, or on a linear one again.",
    "x_axis": "Draws the losses over steps, over time or over tokens.",
    "stop": "Saves a checkpoint and the adapter, then ends the run. In the chat: stops the answer.",
    "resume": "Continues the run from its last whole checkpoint.",
    "park": "Saves and ends the trainer, so that the card is free; the same key brings the run back.",
    "queue('up')": "Lets the queued run start before the one above it.",
    "queue('down')": "Lets the queued run start after the one below it.",
    "queue('remove')": "Takes the run out of the queue. It can be resumed later.",
    "launch_now": "Starts the run at once, beside the one that has the card.",
    "judge": "Asks the adapter and its base the same questions, and shows what can be concluded.",
    "go_on": "Goes on with the judgement or the export that was stopped. Nothing is done twice.",
    "export": "Writes the model for other programs, and proves that it answers as the run does.",
    "copy_python": "Copies the Python lines that load the adapter with transformers and PEFT.",
    "copy_push": "Copies the command that sends the adapter to the Hugging Face Hub.",
    "copy_lines": "Copies the lines that load or start the exported model.",
    "pane('result')": "Shows the conclusions and the figures of the judgement.",
    "pane('questions')": "Shows the questions of the judgement with both answers.",
    "show('worse')": "Shows only the questions that the adapter answers worse.",
    "show('better')": "Shows only the questions that the adapter answers better.",
    "show('fail')": "Shows only the questions that the adapter fails.",
    "show('all')": "Shows all questions of the judgement.",
    "group(1)": "Shows only the questions of the next tag.",
    "group(-1)": "Shows only the questions of the tag before.",
    "file(1)": "Shows the judgement before this one.",
    "file(-1)": "Shows the judgement after this one.",
    "copy_all": "Copies the question with both answers to the clipboard.",
    "details": "Shows the settings in use, warnings and checkpoints of the run.",
    "back": "Returns to the screen before.",
    "leave": "Returns to the screen before; asks first about unsaved changes.",
    "toggle_adapter": "Lets the base model answer, or the adapter again.",
    "ask_both": "Asks base and adapter the typed question, or the other model the last one, side by side.",
    "toggle_fast": "Lets llama-server answer with the exported GGUF file, or the trainer's libraries again.",
    "clear": "Starts a new conversation. Nothing of the old one is kept.",
    "settings": "Changes how the model answers, for this session.",
    "copy": "Copies an answer to the clipboard.",
    "search": "Finds a text in the conversation, or among the questions of a judgement.",
    "find(1)": "Goes to the next place with the text that you search for.",
    "find(-1)": "Goes to the place before with the text that you search for.",
    "pick(-1)": "Picks the answer above, to copy it.",
    "pick(1)": "Picks the answer below, to copy it.",
    "launch": "Starts a training run with this profile.",
    "edit": "Opens the profile in the editor.",
    "edit_outside": "Opens the profile in the editor of your shell, $EDITOR.",
    "data": "Shows the rows of the dataset, and what is wrong with them.",
    "duplicate": "Copies the profile with its comments under a new name.",
    "reload": "Reads the list from the disk again.",
    "choose": "Opens the entry that is picked.",
    "next_view": "Shows the row in another way: as the model sees it, raw, or in tokens.",
    "numbers": "Shows the number of each token beside its text.",
    "ask('search')": "Shows only the rows that contain a text.",
    "ask('go')": "Goes to the row with a number.",
    "ask('limit')": "Shows where rows would be cut at another max_seq_length.",
    "next_filter": "Shows another part of the rows: all, bad, cut, longest, duplicates, worst-learned.",
    "filter('all')": "Shows all rows.",
    "filter('bad')": "Shows the rows that can't be used, with the reason.",
    "filter('cut')": "Shows the rows that max_seq_length cuts.",
    "filter('longest')": "Shows the rows by their length.",
    "filter('duplicates')": "Shows the rows that are there more than once.",
    "filter('worst')": "Shows the rows by how badly the adapter learned them.",
    "pane('xray')": "Shows how likely the adapter makes each learned token.",
    "judge_model": "Lets the model of the settings compare the answers. It sends them to its server, after a question.",
    "measure": "Measures the loss of each row and token, under the base model and under the adapter.",
    "limit(-1)": "Shows where rows would be cut at a shorter max_seq_length.",
    "limit(1)": "Shows where rows would be cut at a longer max_seq_length.",
    "limit(0)": "Returns to the max_seq_length of the profile.",
    "step(-1)": "Shows the entry before this one.",
    "step(1)": "Shows the entry after this one.",
    "step(-1000000)": "Shows the first entry.",
    "step(1000000)": "Shows the last entry.",
    "apply_length": "Uses the max_seq_length that cuts no row, for this run only, or the profile's again.",
    "lengths": "Compares every max_seq_length: whole rows, answers, memory and time.",
    "use": "Uses the picked max_seq_length: saves it, or sets it for this run.",
    "switch_long_rows": "Shows the figures if longer rows are dropped, or cut again.",
    "pick_fitting": "Picks the longest max_seq_length with which the run fits into the card.",
    "pick_own": "Picks the max_seq_length of the profile.",
    "ask_length": "Adds a max_seq_length of your own to the comparison.",
    "tokenise": "Counts the tokens of all rows, or stops the count.",
    "undo": "Takes the last change back.",
    "redo": "Makes the change again that was taken back.",
    "save": "Writes the changes into the profile's file and nothing else.",
    "save_as": "Writes a new profile under another name.",
    "compare": "Shows what differs: a profile and its parent, or the marked runs.",
    "mark": "Marks the run for a comparison, or takes the mark away.",
    "remedies": "Lists changes that make the profile need less memory.",
    "find": "Goes to the field whose name contains a text.",
    "cycle(1)": "Sets the field to its next choice.",
    "cycle(-1)": "Sets the field to the choice before.",
    "unset": "Removes the value from this file; the parent's value or the default counts.",
    "filter": "Shows only the runs that contain a text.",
    "sort(1)": "Orders the runs by another column.",
    "sort(-1)": "Orders the runs by the column before.",
    "change('annotate')": "Writes a line of your own to the run.",
    "change('rename')": "Gives the run another name. It must have ended.",
    "change('delete')": "Deletes the run with all its files, after a question.",
    "change('clean_up')": "Deletes checkpoints that neither a resume nor a chat needs.",
}
"""What each action does, in a sentence."""
_KEY_NAMES = {
    "enter": "Enter", "escape": "Esc", "tab": "Tab", "delete": "Del", "backspace": "Bksp",
    "home": "Home", "end": "End", "pageup": "PgUp", "pagedown": "PgDn",
}  # fmt: skip


def is_command(action: str, node: object) -> bool:
    """Whether the palette lists `action` of the widget `node`. It leaves out the keys that move a list or a cursor."""
    if isinstance(node, Input | TextArea) and action in _EDITING:
        return False
    return _get_name(action).partition("(")[0] not in _MOVING


def describe_command(binding: Binding) -> str:
    """What the action does, and its key as the help writes it: ctrl+t, Enter, Esc."""
    modifiers, key = binding.parse_key()
    name = "+".join([*modifiers, _KEY_NAMES.get(key, format_key(key))])
    return " ".join(filter(None, [DESCRIPTIONS.get(_get_name(binding.action), ""), f"Key: {name}"]))


def _get_name(action: str) -> str:
    return action.removeprefix("app.").removeprefix("screen.")


class _Entry(NamedTuple):
    title: str
    help: str
    message: Message


class Finder(Provider):
    """Finds runs, profiles and fields by a part of their names."""

    async def startup(self) -> None:
        self._entries = await asyncio.to_thread(_list_entries)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, about, message in self._entries:
            if (score := matcher.match(title)) > 0:
                yield Hit(score, matcher.highlight(title), partial(self.app.post_message, message), help=about)


def _list_entries() -> list[_Entry]:
    from codex_tui.profiles.library import list_profiles
    from codex_tui.profiles.schema import read_schema
    from codex_tui.runs.library import list_names

    entries: list[_Entry] = []
    with suppress(CodexError, OSError):  # a folder that can't be read has no entries here
        home = locations.runs_home()
        entries += [_Entry(f"Run {clean(name)}", "Opens the run.", OpenRun(RunDirectory(home / name)))
                    for name in list_names()]  # fmt: skip
    with suppress(CodexError, OSError):
        entries += [_Entry(f"Profile {clean(entry.name)}", clean(entry.title), OpenProfile(entry.name))
                    for entry in list_profiles()]  # fmt: skip
    return entries + [_Entry(f"Field {path}", field.text, ShowField(path)) for path, field in read_schema().items()]
