"""Draws one question in full: its conditions and what was found of them, its reference, and both answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from textual.content import Content

from codex_tui.base.text import clean, pluralize
from codex_tui.judge.results import KNOWN
from codex_tui.ui.judge.entry import draw_mark, draw_verdict, name_sides
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line
from codex_tui.ui.kit.side_by_side import MIN_SIDE_BY_SIDE, lay_side_by_side, mark_differences
from training.contract.judgement import Judged, JudgedQuestion, Judgement, Question
from training.contract.verdicts import Verdict
from training.dataset.marks import Checked

Checks = tuple[Sequence[Checked], Sequence[Checked]]
"""What the other side's answer and the adapter's made of each condition."""
SIGNS = {True: ("✓", "$success"), False: ("✗", "$error"), None: ("?", "$warning")}
ENDS = {"eos": "ended by itself", "length": "cut at the length limit", "context": "cut at the end of the context"}


def draw_heading(judged: JudgedQuestion, place: int, count: int) -> Content:
    question = judged.question
    known = {"": "", "exact": KNOWN, "near": f"{KNOWN}: nearly the same question was trained"}[question.known]
    source = f"line {question.line:,} of {question.file or 'the book'}" if question.line else ""
    facts = [question.id, *question.tags, known, source]
    about = " · ".join(clean(fact) for fact in facts if fact)
    return line(draw_verdict(judged), f"   {place + 1:,} of {count:,}", (f"   {about}", MUTED))


def draw_question(judgement: Judgement, judged: JudgedQuestion, checks: Checks | None, width: int) -> Iterator[Content]:
    """`checks` are None while the conditions are looked up."""
    question = judged.question
    yield from _draw_messages(judgement, question)
    adapter, other = name_sides(judgement)
    if question.has_marks:
        yield Content("")
        yield from _draw_conditions(checks, (other, adapter))
    if question.reference:
        yield Content("")
        yield line(("reference", ACCENT))
        yield from _draw_lines(question.reference)
    yield Content("")
    contents, sentence = mark_differences(judged.other.answer.text.strip(), judged.adapter.answer.text.strip())
    blocks = [
        [_draw_side_title(name, side), *_list_answer_lines(text), _draw_facts(side)]
        for name, side, text in zip((other, adapter), (judged.other, judged.adapter), contents, strict=True)
    ]
    if width >= MIN_SIDE_BY_SIDE:
        yield from lay_side_by_side(width, *blocks)
    else:
        yield from blocks[0]
        yield Content("")
        yield from blocks[1]
    if sentence:
        yield Content("")
        yield line((sentence, MUTED))
    if judgement.judge_model and judged.verdict:
        yield Content("")
        model = clean(judgement.judge_model.model)
        yield line((f"{model}  ", ACCENT), _describe_verdict(judged.verdict, {"adapter": adapter, "other": other}))


def _describe_verdict(verdict: Verdict, names: Mapping[str, str]) -> str:
    """Say which answer the judge model prefers. `names` has the names of both sides."""
    choice = verdict.choice
    if choice is None:
        return "gave no verdict"
    if verdict.disagrees:
        return "a tie: it prefers another answer when their order is swapped"
    return "a tie" if choice == "tie" else f"prefers {names[choice]}, in both orders"


def _draw_messages(judgement: Judgement, question: Question) -> Iterator[Content]:
    """The conversation up to the question. The system message is that of the book, or else of the run."""
    roles = [str(turn.get("role")) for turn in question.messages]
    if judgement.system_prompt and "system" not in roles:
        yield line(("system  ", ACCENT), (clean(judgement.system_prompt, newlines=True), MUTED))
    for turn, role in zip(question.messages, roles, strict=True):
        text = clean(str(turn.get("content") or ""), newlines=True)
        if role == "user":
            yield line(("› ", f"bold {ACCENT}"), (text, STRONG))
        else:
            yield line((f"{clean(role)}  ", ACCENT), (text, MUTED))


def _draw_conditions(checks: Checks | None, names: tuple[str, str]) -> Iterator[Content]:
    if checks is None:
        yield line(("checking the conditions …", MUTED))
        return
    for pair in zip(*checks, strict=True):
        yield line((f"{pair[0].kind}  ", ACCENT), clean(describe_condition(pair[0])))
        for name, check in zip(names, pair, strict=True):
            sign, style = SIGNS[check.passes]
            yield line((f"    {sign} ", f"bold {style}"), (f"{name}: ", MUTED), clean(_describe_found(check)))


def describe_condition(check: Checked) -> str:
    condition = check.condition
    if condition.re:
        return f"a match of {condition.re}"
    return " or ".join(f"“{text}”" for text in condition.any)


def _describe_found(check: Checked) -> str:
    if check.passes is None:
        return "the regular expression needs more than a second"
    if check.found:
        return "has " + ", ".join(f"“{text}”" for text in check.found)
    return "has none of it"


def _draw_side_title(name: str, judged: Judged) -> Content:
    return line((f"{name}  ", f"bold {ACCENT}"), draw_mark(judged))


def _list_answer_lines(text: Content) -> list[Content]:
    return text.split("\n", allow_blank=True) if text.plain else [line(("(empty answer)", MUTED))]


def _draw_facts(judged: Judged) -> Content:
    answer = judged.answer
    facts = [f"{pluralize(answer.tokens, 'token')}, {ENDS[answer.ended]}"]
    if judged.exact:
        facts.append("exactly the reference")
    elif judged.chrf is not None:
        facts.append(f"chrF {judged.chrf:.0f}")
    if judged.loss:
        facts.append(f"loss per token of the reference {judged.loss.per_token:.2f}")
    return line((" · ".join(facts), MUTED))


def _draw_lines(text: str) -> Iterator[Content]:
    return (Content(row) for row in clean(text.strip(), newlines=True).split("\n"))
