"""The judgements of a run as a screen shows them: its files, its groups of questions, and which side did better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codex_tui.judge.groups import EQUAL_CHRF
from codex_tui.runs.judged import find_outdated
from training.contract.judgement import Group, JudgedQuestion, Judgement
from training.contract.judgement_file import JudgementError, list_files, read
from training.contract.run_directory import RunDirectory

Verdict = Literal["better", "worse", "same"]
"""What the adapter made of a question, compared with the other side."""
Show = Literal["all", "worse", "better", "fail"]
KNOWN, UNSEEN = "known by heart", "unseen"


@dataclass(frozen=True)
class Shelf:
    """The judgements of a run, the newest first. `outdated` says of each whether the run has trained since. `problems`
    say which files can't be shown, and why."""

    paths: tuple[Path, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    outdated: tuple[bool, ...] = ()
    problems: tuple[str, ...] = ()


def read_shelf(run: RunDirectory) -> Shelf:
    """Read all judgements of `run`. A file that can't be read is left out. Call it in a thread."""
    found: list[tuple[Path, Judgement]] = []
    problems = []
    for path in list_files(run.judgements):
        try:
            found.append((path, read(path)))
        except JudgementError as error:
            problems.append(error.message)
    found.sort(key=lambda entry: entry[1].created, reverse=True)
    judgements = tuple(judgement for _, judgement in found)
    outdated = tuple(find_outdated(run, judgements))
    return Shelf(tuple(path for path, _ in found), judgements, outdated, tuple(problems))


def compare_answers(judged: JudgedQuestion) -> Verdict:
    """Compare by the conditions of the question; without conditions, by chrF."""
    ours, theirs = judged.adapter, judged.other
    if ours.passed is not None and theirs.passed is not None:
        difference = float(ours.passed) - float(theirs.passed)
    else:
        difference = (ours.chrf or 0.0) - (theirs.chrf or 0.0)
    if abs(difference) <= EQUAL_CHRF:
        return "same"
    return "better" if difference > 0 else "worse"


def list_main_groups(judgement: Judgement) -> dict[str, Group]:
    """List the groups of questions by their names: all, those that were trained, and the others."""
    groups = {"all": judgement.overall}
    if judgement.known:
        groups[KNOWN] = judgement.known
    if judgement.known and judgement.unseen:
        groups[UNSEEN] = judgement.unseen
    return groups


def list_groups(judgement: Judgement) -> dict[str, Group]:
    """List the main groups, and the questions of each tag."""
    groups = list_main_groups(judgement)
    return groups | {tag: group for tag, group in judgement.tags.items() if tag not in groups}


def is_in_group(judged: JudgedQuestion, group: str) -> bool:
    """Whether the question belongs to the group with this name. See `list_groups`."""
    question = judged.question
    if group in ("", "all"):
        return True
    if group == KNOWN:
        return bool(question.known)
    if group == UNSEEN:
        return not question.known
    return group in question.tags


def is_shown(judged: JudgedQuestion, show: Show) -> bool:
    if show == "all":
        return True
    if show == "fail":
        return judged.adapter.passed is False
    return compare_answers(judged) == show


def contains(judged: JudgedQuestion, needle: str) -> bool:
    """Whether the question, an answer, the reference, the id or a tag contains `needle`, in any case of letters."""
    question = judged.question
    texts = (question.id, question.text, question.reference, *question.tags, judged.adapter.answer.text)
    return any(needle.casefold() in text.casefold() for text in (*texts, judged.other.answer.text))
