"""The samples pane: the model's answers at each evaluation, and the rows of the dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.data.row_text import truncate_middle
from codex_tui.ui.data.row_view import RowView, describe_row, draw_lines, draw_model_view, draw_raw
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.messages import HintsChanged
from codex_tui.workers.inspect import RowReader
from training.contract.measurements import Sample
from training.contract.run_directory import RunDirectory
from training.history.state import RunState


class SamplesPane(Vertical):
    """Shows answers at first. Dataset rows need a worker, which starts when the user switches to them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", "Previous"),
        Binding("right", "step(1)", "Next"),
        Binding("d", "toggle_rows", "Dataset rows or answers"),
        Binding("v", "toggle_raw", "Raw, or as the model sees it"),
        Binding("less_than_sign", "step(-1000000)", "First"),
        Binding("greater_than_sign", "step(1000000)", "Last"),
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(id="samples", classes="pane")
        self.showing: Literal["answers", "rows"] = "answers"
        self.raw = False
        self.reader = RowReader(run, self._draw)
        self._samples: list[Sample] = []
        self._picked: int | None = None  # the index of the shown answer; None for the newest

    def compose(self) -> ComposeResult:
        yield Heading()
        yield RowView()

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        if self.showing == "answers":
            self.call_after_refresh(self._draw)

    async def on_unmount(self) -> None:
        await self.reader.close()

    def show(self, state: RunState) -> None:
        if len(state.samples) != len(self._samples) or state.samples[-1:] != self._samples[-1:]:
            self._samples = list(state.samples)
            if self.showing == "answers":
                self._draw()

    def hints(self) -> list[Hint]:
        if self.showing == "rows":
            return [
                ("← →", "browse"),
                ("D", "whole dataset"),
                ("d", "answers"),
                ("v", "as the model sees it" if self.raw else "raw"),
            ]
        return [("← →", "browse"), ("d", "dataset rows")]

    async def action_toggle_rows(self) -> None:
        self.showing = "rows" if self.showing == "answers" else "answers"
        self._draw()
        if self.showing == "rows":
            await self.reader.start()

    def action_toggle_raw(self) -> None:
        self.raw = not self.raw
        self._draw()

    async def action_step(self, items: int) -> None:
        if self.showing == "rows":
            await self.reader.go(self.reader.index + items)
        elif self._samples:
            last = len(self._samples) - 1
            index = max(0, min(last, (last if self._picked is None else self._picked) + items))
            self._picked = None if index == last else index
            self._draw()

    def _draw(self) -> None:
        if not self.children:
            return
        self.post_message(HintsChanged())
        heading, body = self._format_answer() if self.showing == "answers" else self._format_row()
        other = " dataset rows" if self.showing == "answers" else " answers"
        self.query_one(Heading).show(heading, line(("d", f"bold {ACCENT}"), (other, MUTED)))
        self.query_one(RowView).set_text(body)

    def _format_answer(self) -> tuple[Content, list[Content]]:
        """The heading and the paragraphs of the shown answer."""
        if not self._samples:
            return line(("Answers", STRONG)), [
                line(("The model's answer to a fixed question appears here after each evaluation.", MUTED))
            ]
        index = len(self._samples) - 1 if self._picked is None else min(self._picked, len(self._samples) - 1)
        sample = self._samples[index]
        at = f"  step {sample.step:,}" if sample.step else "  the base model, before training"
        together = [other.prompt for other in self._samples if other.step == sample.step]
        if len(together) > 1:
            at += f", question {together.index(sample.prompt) + 1} of {len(together)}"
        heading = line(("Answer", STRONG), f" {index + 1} / {len(self._samples)}", (at, MUTED))
        prompt, answer = line((_shorten(sample.prompt), MUTED)), _format_text(sample)
        before, reference = self._format_before(sample), _format_reference(sample)
        parts = [part for part in (prompt, answer, reference, before) if part]
        body = [row for part in parts for row in (part, Content(""))][:-1]
        width, height = self.query_one(RowView).content_size
        if not width:
            return heading, body
        if _count_rows(body, width) > height:  # the start of the base model's answer is on the screen all the same
            first = before.first_line.truncate(width, ellipsis=True) if before else before
            return heading, [part for part in (prompt, answer, first, reference) if part]
        return heading, [*body, *self._list_earlier(index, height - _count_rows(body, width) - 2)]

    def _format_before(self, sample: Sample) -> Content | None:
        """The base model's answer, to compare `sample` with. The events of older runs have none."""
        same = (past for past in self._samples if past.step == 0 < sample.step and past.prompt == sample.prompt)
        before = next(same, None)
        return line(("before, base model  ", MUTED), _format_text(before, MUTED)) if before else None

    def _list_earlier(self, index: int, room: int) -> Iterator[Content]:
        """The answers to the same question before number `index`, the newest first, one in each of `room` rows."""
        prompt = self._samples[index].prompt
        # The base model's answer has its own place.
        earlier = [past for past in self._samples[:index] if past.step and past.prompt == prompt]
        if earlier and room > 0:
            width = self.query_one(RowView).content_size.width
            yield Content("")
            yield line(("earlier answers", MUTED))
            for past in earlier[-room:][::-1]:
                text = _shorten(past.text).replace("\n", " ")
                yield line((f"{f'step {past.step:,}':<11} {text}", MUTED)).truncate(width, ellipsis=True)

    def _format_row(self) -> tuple[Content, list[Content]]:
        """The heading and the paragraphs of the shown dataset row."""
        reader = self.reader
        if reader.error:
            return line(("Row", STRONG)), [
                line((clean(reader.error.message, newlines=True), "$error")),
                line((clean(reader.error.hint, newlines=True), MUTED)),
            ]
        if reader.status == "ready" and not reader.rows:
            return line(("Row", STRONG)), [line(("The dataset has no rows.", MUTED))]
        row = reader.row
        if row is None:
            return line(("Row", STRONG)), [line(("Reading the dataset and the tokenizer …", MUTED))]
        heading = line(("Row", STRONG), f" {reader.index + 1:,} / {reader.rows:,}", (f"  {describe_row(row)}", MUTED))
        if row.problem:
            return heading, [line((f"✗ {clean(row.problem)}", "$error")), *draw_lines(row.text)]
        return heading, list(draw_raw(row.raw) if self.raw else draw_model_view(row, "as the model sees it"))


def _format_text(sample: Sample, style: str = "") -> Content:
    """The answer, and a remark if it was cut."""
    text = (_shorten(sample.text) or "(empty answer)", style)
    if sample.cut_at is None:
        return line(text)
    return line(text, (f" … cut at {pluralize(sample.cut_at, 'token')}", "$warning"))


def _format_reference(sample: Sample) -> Content | None:
    """The dataset's answer, if it has one."""
    if not sample.reference:
        return None
    if sample.text.strip() == sample.reference.strip():
        return line(("✓ identical to the dataset's answer", "$success"))
    return line(("dataset's answer  ", MUTED), (_shorten(sample.reference), MUTED))


def _count_rows(paragraphs: list[Content], width: int) -> int:
    return sum(len(paragraph.wrap(width)) for paragraph in paragraphs)


def _shorten(text: str) -> str:
    return clean(truncate_middle(text), newlines=True)
