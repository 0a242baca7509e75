"""Explains in words what the figures of a dataset mean for a run. Each piece of advice is true and worth a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codex_tui.base.text import format_percent, pluralize
from codex_tui.data.overview import Overview
from training.contract.profile import Profile
from training.contract.units import round_up_length
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan
from training.dataset.split import find_sparse_logging

MIN_SHARE = 0.01  # of the rows; a fault in fewer rows is not worth advice
MIN_TRAIN_ROWS = 50  # a model memorises fewer rows


@dataclass(frozen=True)
class Advice:
    """A problem of the dataset and its remedy. `remedy` names the field of the profile to change, if there is one.
    `max_seq_length` is the remedy where that field alone cuts no row."""

    message: str
    remedy: str
    max_seq_length: int | None = None


def give_advice(overview: Overview, scan: Scan, lengths: Lengths | None, profile: Profile) -> Iterator[Advice]:
    """Yield the advice for a run of `profile`, the most dangerous problem first.

    `lengths` is None if the tokens have not been counted. The texts contain column names and error messages from
    outside: clean them before they are shown.
    """
    if overview.kept:
        if lengths is not None:
            yield from _advise_on_template(overview, scan, lengths, profile)
            yield from _advise_on_cut(overview, lengths, profile)
        yield from _advise_on_leak(overview)
    yield from _advise_on_bad(overview, profile)
    yield from advise_on_rows(overview, scan)
    if overview.kept:
        yield from _advise_on_size(overview, profile)
        yield from _advise_on_logging(overview, profile)
        if overview.tokens is not None and lengths is not None:
            yield from _advise_on_max_length(overview, lengths, profile)


def advise_on_rows(overview: Overview, scan: Scan) -> Iterator[Advice]:
    """Yield the advice that needs no profile."""
    if overview.kept:
        yield from _advise_on_columns(scan)
        yield from _advise_on_answers(overview, scan)
        yield from _advise_on_duplicates(overview)


def _advise_on_template(overview: Overview, scan: Scan, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    prompt = profile.dataset.system_prompt
    if overview.refused:
        why = next(iter(lengths.refused.values()), "")
        subject = _choose(overview.refused, "it is", "they are")
        outcome = f"{subject} left out" if profile.dataset.on_bad_rows == "skip" else "the run would fail"
        about_system = "system" in why.lower() and (prompt or scan.system_rows)
        remedy = (
            "Unset dataset.system_prompt, or choose a model whose template has the system role (model.name)."
            if about_system and prompt and not scan.system_rows
            else "Remove the system messages from the rows, or choose a model whose template has the system role "
            "(model.name)."
            if about_system
            else "Choose a model whose chat template has tools (model.name), or remove them from the rows."
            if "tool" in why
            else "Fix these rows, or choose a model with another chat template (model.name)."
        )
        yield Advice(
            f"The model's chat template refuses {_rows(overview.refused)}, and {outcome}: {why.rstrip('.')}.",
            remedy,
        )
    if lengths.system_ignored:
        yield Advice(
            "The model's chat template silently leaves out system messages: the model learns nothing from them.",
            "Move their text into the questions, or choose a model whose template has the system role (model.name).",
        )
    for message, remedy in lengths.faults.explain():
        yield Advice(message, remedy)


def _advise_on_cut(overview: Overview, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    limit, tokens = profile.model.max_seq_length, overview.tokens
    if tokens is None:
        return
    full_length, long_rows = round_up_length(tokens.max), overview.truncated or 0
    cuts_none = f"model.max_seq_length = {full_length} cuts none"
    if not overview.train_rows:
        yield Advice(
            f"The model would learn nothing: no training row has any of its answer within {limit:,} tokens.",
            f"model.max_seq_length = {full_length} cuts no row." if tokens.max > limit else "Check the answers.",
            full_length if tokens.max > limit else None,
        )
    elif long_rows and profile.dataset.long_rows == "refuse":
        yield Advice(
            f"{_rows(long_rows)} {_choose(long_rows, 'is', 'are')} longer than {limit:,} tokens, so the run will not "
            "start.",
            f'{cuts_none}. Or set dataset.long_rows to "cut" or "drop".',
            full_length,
        )
    elif long_rows and profile.dataset.long_rows == "drop":
        share = _format_small_share(long_rows / overview.kept)
        yield Advice(
            f"{_rows(long_rows)} ({share}) longer than {limit:,} tokens {_choose(long_rows, 'is', 'are')} dropped: "
            f"{_format_share(overview.answers_lost, overview.answers)}.",
            f'{cuts_none}. With dataset.long_rows = "cut", the model learns the part before the cut.',
            full_length,
        )
    else:
        yield from _advise_on_cut_answers(overview, lengths, limit)
    if empty := lengths.empty_rows:
        yield Advice(
            f"The chat template leaves no answer in {_rows(empty)}, which {_choose(empty, 'is', 'are')} dropped.",
            "Check that these answers are not empty, or choose a model with another template (model.name).",
        )


def _advise_on_cut_answers(overview: Overview, lengths: Lengths, limit: int) -> Iterator[Advice]:
    assert overview.tokens is not None
    full_length, p99 = round_up_length(overview.tokens.max), round_up_length(overview.tokens.p99)
    cuts_none = f"model.max_seq_length = {full_length} cuts none"
    if lost := overview.answers_lost:
        partial_length = round_up_length(max(lengths.starts) + 1)
        rows = (overview.dropped_rows or 0) - lengths.empty_rows
        fate = f" {_rows(rows)} {_choose(rows, 'has no other answer and is', 'have no other answer and are')} dropped."
        yield Advice(
            f"{_format_share(lost, overview.answers)} {_choose(lost, 'lies', 'lie')} wholly beyond the cut at "
            f"{limit:,} tokens: the model can't learn {_choose(lost, 'it', 'them')}.{fate if rows else ''}",
            (f"model.max_seq_length = {partial_length} keeps a part of every answer, {full_length} cuts none"
             if partial_length < full_length else cuts_none)
            + "; or shorten these rows.",
            full_length,
        )  # fmt: skip
    if cut := overview.answers_cut:
        yield Advice(
            f"{pluralize(cut, 'answer')} ({_format_small_share(cut / (overview.answers or cut))}) "
            f"{_choose(cut, 'is', 'are')} cut at {limit:,} tokens: the model does not learn how "
            f"{_choose(cut, 'it ends', 'they end')} or when to stop.",
            cuts_none + (f", {p99} cuts at most 1 %." if limit < p99 < full_length else "."),
            full_length,
        )


def _advise_on_leak(overview: Overview) -> Iterator[Advice]:
    if overlap := overview.duplicates.overlap:
        yield Advice(
            f"{pluralize(overlap, 'evaluation row')} also {_choose(overlap, 'occurs', 'occur')} in training: the "
            "evaluation loss looks better than it is.",
            "Remove the duplicates from the dataset, or train without an evaluation: dataset.eval_fraction = 0.",
        )


def _advise_on_bad(overview: Overview, profile: Profile) -> Iterator[Advice]:
    bad = overview.rows - overview.kept
    if not overview.rows:
        yield Advice("There are no rows.", 'A row is a line such as {"instruction": "…", "response": "…"}.')
    elif not overview.kept:
        yield Advice(
            f"None of the {_rows(bad)} can be used for training.",
            "Name the columns with the questions and answers: dataset.instruction_column and dataset.response_column.",
        )
    elif bad and profile.dataset.on_bad_rows == "refuse":
        yield Advice(
            f"{_rows(bad)} can't be used for training, so the run will not start.",
            f'Fix {_choose(bad, "it", "them")}, or set dataset.on_bad_rows = "skip" to train on the rest.',
        )
    elif bad > MIN_SHARE * overview.rows:
        yield Advice(
            f"{_rows(bad)} ({_format_small_share(bad / overview.rows)}) can't be used for training and "
            f"{_choose(bad, 'is', 'are')} skipped.",
            'Fix them. With dataset.on_bad_rows = "refuse", a run does not start while there are bad rows.',
        )


def _advise_on_columns(scan: Scan) -> Iterator[Advice]:
    for name in scan.text_columns[:3]:
        yield Advice(
            f'The column "{name}" is ignored, although it has a lot of text.',
            "To train on it, name it in the profile: dataset.response_column, instruction_column, context_column, "
            "system_column, messages_column or text_column.",
        )


def _advise_on_answers(overview: Overview, scan: Scan) -> Iterator[Advice]:
    if scan.same_answer == overview.kept > 1:
        yield Advice(
            "Every answer is the same: the model learns to give it to any question.",
            "Check that dataset.response_column is the column with the answers.",
        )
    elif (wordless := scan.wordless_answers) > MIN_SHARE * overview.kept:
        yield Advice(
            f"{_rows(wordless)} {_choose(wordless, 'has', 'have')} an answer without a single letter or digit.",
            "Remove the rows whose answer is useless, or name another dataset.response_column.",
        )


def _advise_on_duplicates(overview: Overview) -> Iterator[Advice]:
    exact, near = overview.duplicates.exact, overview.duplicates.near
    if exact:
        yield Advice(
            f"{_rows(exact)} {_choose(exact, 'repeats another row', 'repeat other rows')} and "
            f"{_choose(exact, 'gives it', 'give them')} more weight.",
            "Keep one of each. To repeat all rows equally, raise training.num_train_epochs.",
        )
    if near > MIN_SHARE * overview.kept:
        yield Advice(
            f"{_rows(near)} ({_format_small_share(near / overview.kept)}) {_choose(near, 'is', 'are')} nearly the same "
            "as another row.",
            "Keep one of each kind, unless you want the variants. To repeat all rows equally, raise "
            "training.num_train_epochs.",
        )


def _advise_on_size(overview: Overview, profile: Profile) -> Iterator[Advice]:
    rows, steps, warmup = overview.train_rows, overview.total_steps, profile.training.warmup_steps
    if 0 < rows < MIN_TRAIN_ROWS:
        yield Advice(
            f"There {_choose(rows, 'is', 'are')} only {pluralize(rows, 'training row')}: the model will memorise "
            f"{_choose(rows, 'it', 'them')}.",
            "Add more rows, or stop early: training.num_train_epochs = 1, and watch the evaluation loss.",
        )
    if rows and steps <= warmup:
        yield Advice(
            f"The run ends at step {steps:,}, before the learning rate has risen to its peak (training.warmup_steps = "
            f"{warmup:,}).",
            f"training.warmup_steps = {steps // 10}, or more epochs: training.num_train_epochs.",
        )


def _advise_on_logging(overview: Overview, profile: Profile) -> Iterator[Advice]:
    if overview.train_rows and (sparse := find_sparse_logging(profile, overview.total_steps)):
        yield Advice(sparse.message, sparse.remedy)


def _advise_on_max_length(overview: Overview, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    limit, tokens = profile.model.max_seq_length, overview.tokens
    assert tokens is not None
    enough, usual = round_up_length(tokens.max), round_up_length(tokens.p99)
    if limit >= 2 * enough:
        yield Advice(
            f"No row is longer than {tokens.max:,} tokens; the memory forecast assumes {limit:,}.",
            f"model.max_seq_length = {enough} cuts nothing.",
            enough,
        )
    elif (longest := min(limit, tokens.max)) >= 2 * usual:
        cut = sum(length > usual for length in lengths.longest)
        yield Advice(
            f"99 % of the rows have at most {tokens.p99:,} tokens; the few of up to {longest:,} decide how much memory "
            "the run needs.",
            f"model.max_seq_length = {usual} needs less; it cuts {_rows(cut)}.",
        )


def _rows(count: int) -> str:
    return pluralize(count, "row")


def _format_share(answers: int | None, of: int | None) -> str:
    return f"{pluralize(answers or 0, 'answer')} of {of or 0:,}"


def _choose(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def _format_small_share(share: float) -> str:
    return format_percent(share) if share >= 0.1 else f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"
