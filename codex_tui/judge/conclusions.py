"""Says in plain sentences what a judgement shows, and what it can't show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codex_tui.base.text import format_percent, pluralize
from codex_tui.judge.table import format_signed
from training.contract.judgement import BASE, Difference, Group, Judgement, Proof
from training.contract.verdicts import JudgeModelResult

MIN_QUESTIONS = 6
"""With fewer, even a win at every question can be chance (a sign test gives 6 % for five of five)."""
MAX_P = 0.05
BY_HEART_GAP = 0.25
"""How much higher the share of passes must be among the trained questions to call it learned by heart."""
SMALL_ON = 1e-3


@dataclass(frozen=True)
class _Names:
    """What the two sides are called in a sentence."""

    adapter: str
    other: str


def draw_conclusions(judgement: Judgement) -> list[str]:
    """The texts may contain names from outside: clean them before they are shown."""
    names = _name_sides(judgement)
    sentences = [_conclude(pluralize(judgement.overall.questions, "question"), judgement.overall, names)]
    if judgement.known:
        count = judgement.known.questions
        stand = "stands" if count == 1 else "stand"
        sentences.append(_conclude(f"{count:,} of them {stand} in the training rows", judgement.known, names))
    if judgement.known and judgement.unseen:
        count = judgement.unseen.questions
        sentences.append(_conclude(f"{count:,} {'is' if count == 1 else 'are'} unseen", judgement.unseen, names))
        sentences += _conclude_by_heart(judgement.known, judgement.unseen)
    if judgement.known and not judgement.unseen:
        sentences.append("Nothing can be said about questions that were not trained: the book has none.")
    sentences += _conclude_tags(judgement.tags, names)
    sentences += _conclude_loss(judgement.overall.loss, names)
    sentences += _conclude_verdicts(judgement.judge_model, names)
    if judgement.proof.on < SMALL_ON and judgement.against.name == BASE:
        sentences.append("The adapter changes nothing: the model gives the same logits with it and without it.")
    return sentences


def describe_proof(proof: Proof) -> str:
    """Say how it is known that the right weights answered."""
    if proof.off is None:
        return f"Proof that two adapters answered: their logits differ by {proof.on:.3g}."
    return (
        f"Proof that base answered without the adapter: its logits differ by {proof.off:.3g} from those before the "
        f"adapter was loaded, and by {proof.on:.3g} from the adapter's."
    )


def is_sure(difference: Difference) -> bool:
    """Whether the sign test and the interval agree that one side is better."""
    return difference.p <= MAX_P and (difference.low > 0 or difference.high < 0)


def _name_sides(judgement: Judgement) -> _Names:
    if judgement.against.name == BASE:
        return _Names("the adapter", "base")
    return _Names(judgement.run, judgement.against.name)


def _conclude(subject: str, group: Group, names: _Names) -> str:
    """`40 questions: base passes 0, the adapter 29: 29 more, 95 % between 23 and 34.`"""
    if group.passes is None:
        return _conclude_chrf(subject, group, names)
    difference, count = group.passes, group.adapter.marked
    passes = [_count(level.passes, count) for level in (group.other, group.adapter)]
    levels = f"{names.other} passes {passes[0]}, {names.adapter} {passes[1]}"
    subject = subject if count == group.questions else f"{subject}, {count:,} with conditions"
    if count < MIN_QUESTIONS:
        return f"{subject}: {levels}. So few show nothing."
    change = round(difference.estimate * count)
    more = f"{abs(change):,} {'more' if change >= 0 else 'fewer'}"
    if is_sure(difference):
        return f"{subject}: {levels}: {more}, 95 % between {_format_range(difference, count)}."
    if not difference.wins + difference.losses:
        return f"{subject}: {levels}. No difference is seen."
    return f"{subject}: {levels}. This can be chance: 95 % between {_format_range(difference, count, signed=True)}."


def _count(passes: int, of: int) -> str:
    return "none" if not passes and of else f"{passes:,}"


def _format_range(difference: Difference, count: int, *, signed: bool = False) -> str:
    low, high = difference.low * count, difference.high * count
    if signed:
        return f"{format_signed(low)} and {format_signed(high)}"
    low, high = sorted((abs(round(low)), abs(round(high))))
    return f"{low:,} and {high:,}"


def _conclude_chrf(subject: str, group: Group, names: _Names) -> str:
    if group.chrf is None or group.adapter.chrf is None or group.other.chrf is None:
        return f"{subject}: nothing to compare."
    exact = [_count(level.exact, level.referenced) for level in (group.other, group.adapter)]
    levels = (
        f"{names.other} gives {exact[0]} of the references exactly, {names.adapter} {exact[1]}; "
        f"chrF {group.other.chrf:.0f} and {group.adapter.chrf:.0f}"
    )
    if group.adapter.referenced < MIN_QUESTIONS:
        return f"{subject}: {levels}. So few show nothing."
    between = f"95 % between {_format_range(group.chrf, 1, signed=True)}"
    if is_sure(group.chrf):
        return f"{subject}: {levels}: {format_signed(group.chrf.estimate)}, {between}."
    return f"{subject}: {levels}. This can be chance: {between}."


def _conclude_by_heart(known: Group, unseen: Group) -> Iterator[str]:
    """Compare the shares of passes; without conditions, the shares of exact answers."""
    use_passes = bool(known.adapter.marked and unseen.adapter.marked)
    trained, other = (
        (level.passes / level.marked) if use_passes else (level.exact / max(1, level.referenced))
        for level in (known.adapter, unseen.adapter)
    )
    verb = "passes" if use_passes else "answers exactly"
    if trained - other < BY_HEART_GAP:
        return
    yield (
        f"The adapter {verb} {format_percent(trained)} of the trained questions and {format_percent(other)} of the "
        "unseen: much of what it knows is learned by heart."
    )


def _conclude_tags(tags: dict[str, Group], names: _Names) -> Iterator[str]:
    for tag, group in tags.items():
        main = group.main
        counted = group.adapter.marked if group.passes else group.adapter.referenced
        if main is None or counted < MIN_QUESTIONS:
            yield f"Nothing can be said about *{tag}*: {pluralize(counted, 'question')}."
        elif is_sure(main):
            better = names.adapter if main.estimate > 0 else names.other
            yield f"*{tag}*: {better} is better at {max(main.wins, main.losses):,} of {counted:,} questions."
        else:
            yield f"*{tag}*: no difference can be shown with {counted:,} questions."


def _conclude_loss(difference: Difference | None, names: _Names) -> Iterator[str]:
    if difference is None or difference.wins + difference.losses + difference.ties < MIN_QUESTIONS:
        return
    if is_sure(difference):
        way = "less" if difference.estimate < 0 else "more"
        low, high = sorted((abs(difference.low), abs(difference.high)))
        yield (
            f"A token of the right answers costs {names.adapter} {abs(difference.estimate):.2f} {way} loss, "
            f"95 % between {low:.2f} and {high:.2f}."
        )
    else:
        yield "The loss on the right answers is not shown to differ."


def _conclude_verdicts(result: JudgeModelResult | None, names: _Names) -> Iterator[str]:
    """`The judge model large-1 prefers the adapter at 29 questions, base at 6 (5 ties): the adapter is better.`"""
    if result is None:
        return
    ties = pluralize(result.ties, "tie")
    counts = f"prefers {names.adapter} at {result.wins:,} questions, {names.other} at {result.losses:,} ({ties})"
    sentence = f"The judge model {result.model} {counts}"
    if result.wins + result.losses + result.ties < MIN_QUESTIONS:
        yield f"{sentence}. So few show nothing."
    elif result.p > MAX_P:
        yield f"{sentence}. This can be chance."
    else:
        better = names.adapter if result.wins > result.losses else names.other
        yield f"{sentence}: {better} is better."


def describe_verdicts(result: JudgeModelResult) -> Iterator[str]:
    """Describe what the verdicts of the judge model are worth."""
    counted = f"Sign test of the judge model {result.model} at {result.endpoint}: p = {result.p:.2g}."
    if result.disagreed:
        share = f"{result.disagreed:,} of {pluralize(result.ties, 'tie')}"
        counted += f" At {share}, only the order of the answers decided."
    if result.no_verdict:
        counted += f" {pluralize(result.no_verdict, 'question')} got no verdict."
    yield counted
    if result.compared:
        agrees = (
            f"It agrees with the book's conditions at {result.agreed:,} of {pluralize(result.compared, 'question')}"
        )
        passes = f"; where exactly one answer passes, at {result.decided_agreed:,} of {result.decided:,}"
        yield f"{agrees}{passes if result.decided else ''}."
