"""What a dataset's figures mean for a run, in words, each with its remedy. Only what is true and worth a change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codex_tui.data.overview import Overview
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import Scan

STEP = 64  # max_seq_length is advised in steps of so many tokens
MANY = 0.01  # of the rows
FEW_ROWS = 50


@dataclass(frozen=True)
class Advice:
    """`remedy` names the profile's field where there is one."""

    message: str
    remedy: str


def give_advice(found: Overview, scan: Scan, lengths: Lengths | None, profile: Profile) -> Iterator[Advice]:
    """The most dangerous first. Texts are plain, and hold names of columns and words of the template as they came."""
    if found.kept:
        if lengths is not None:
            yield from _template(found, scan, lengths, profile)
            yield from _cut(found, lengths, profile)
        yield from _leak(found)
    yield from _bad(found, profile)
    yield from advise_on_rows(found, scan)
    if found.kept:
        yield from _size(found, profile)
        if found.tokens is not None and lengths is not None:
            yield from _room(found, lengths, profile)


def advise_on_rows(found: Overview, scan: Scan) -> Iterator[Advice]:
    """What can be told without a profile."""
    if found.kept:
        yield from _columns(scan)
        yield from _answers(found, scan)
        yield from _duplicates(found)


def _template(found: Overview, scan: Scan, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    prompt = profile.dataset.system_prompt
    if found.refused:
        why = next(iter(lengths.refused.values()), "")
        one = _one(found.refused, "it is", "they are")
        outcome = f"{one} left out" if profile.dataset.on_bad_rows == "skip" else "the run would fail"
        about_system = "system" in why.lower() and (prompt or scan.system_rows)
        remedy = (
            "Unset dataset.system_prompt, or choose a model whose template has the system role (model.name)."
            if about_system and prompt and not scan.system_rows
            else "Take the system messages out of the rows, or choose a model whose template has them (model.name)."
            if about_system
            else "Mend these rows, or choose a model with another chat template (model.name)."
        )
        yield Advice(
            f"The model's chat template refuses {_rows(found.refused)}, and {outcome}: {why.rstrip('.')}.",
            remedy,
        )
    if lengths.system_ignored:
        yield Advice(
            "The model's chat template leaves system messages out without a word: they teach nothing.",
            "Put what they say into the questions, or choose a model whose template has the system role (model.name).",
        )


def _cut(found: Overview, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    limit, tokens = profile.model.max_seq_length, found.tokens
    if tokens is None:
        return
    some, whole = _up(max(lengths.starts) + 1), _up(tokens.max)
    lost = sum(rows for start, rows in lengths.starts.items() if start >= limit)
    empty, in_part = (found.answers_lost or 0) - lost, (found.truncated or 0) - lost
    if not found.train_rows:
        yield Advice(
            f"Nothing is learned at all: no row to train on has any answer within {limit:,} tokens.",
            f"model.max_seq_length = {whole} keeps every row whole." if tokens.max > limit else "Check the answers.",
        )
    elif lost:
        yield Advice(
            f"{_rows(lost)} of {found.kept:,} {_one(lost, 'loses', 'lose')} the whole answer to the cut at {limit:,} "
            f"tokens: {_one(lost, 'it teaches nothing and is', 'they teach nothing and are')} dropped.",
            (f"model.max_seq_length = {some} leaves something of every answer, {whole} cuts none"
             if some < whole else f"model.max_seq_length = {whole} cuts none")
            + "; or shorten what these rows ask.",
        )  # fmt: skip
    if empty:
        yield Advice(
            f"The chat template leaves no answer in {_rows(empty)}, which {_one(empty, 'is', 'are')} dropped.",
            "Check that these answers say something, or choose a model with another template (model.name).",
        )
    if found.train_rows and in_part > 0:
        yield Advice(
            f"{_rows(in_part)} ({_percent(in_part / found.kept)}) {_one(in_part, 'is', 'are')} cut at {limit:,} "
            "tokens: the end of the answer is not learned, nor where to stop.",
            f"model.max_seq_length = {whole} cuts none"
            + (f", {_up(tokens.p99)} no more than 1 %." if limit < _up(tokens.p99) < whole else "."),
        )


def _leak(found: Overview) -> Iterator[Advice]:
    if overlap := found.duplicates.overlap:
        yield Advice(
            f"{_rows(overlap)} held out {_one(overlap, 'says', 'say')} the same as one that is trained on: the "
            "evaluation loss looks better than it is.",
            "Take the duplicates out of the dataset; dataset.eval_fraction = 0 does without an evaluation.",
        )


def _bad(found: Overview, profile: Profile) -> Iterator[Advice]:
    bad = found.rows - found.kept
    if not found.rows:
        yield Advice("There are no rows.", 'A row is a line such as {"instruction": "…", "response": "…"}.')
    elif not found.kept:
        yield Advice(
            f"Not one of {_rows(bad)} can be learned from.",
            "Name the columns that ask and answer: dataset.instruction_column and dataset.response_column.",
        )
    elif bad and profile.dataset.on_bad_rows == "refuse":
        yield Advice(
            f"{_rows(bad)} can't be learned from, and the run is refused for {_one(bad, 'it', 'them')}.",
            f'Mend {_one(bad, "it", "them")}, or set dataset.on_bad_rows = "skip" to train on the rest.',
        )
    elif bad > MANY * found.rows:
        yield Advice(
            f"{_rows(bad)} ({_percent(bad / found.rows)}) can't be learned from and {_one(bad, 'is', 'are')} skipped.",
            'Mend them; dataset.on_bad_rows = "refuse" does not train without them.',
        )


def _columns(scan: Scan) -> Iterator[Advice]:
    for name in scan.text_columns[:3]:
        yield Advice(
            f'The column "{name}" is ignored, and there is a lot of text in it.',
            "If it is to be learned from, name it: dataset.response_column, instruction_column, context_column, "
            "system_column, messages_column or text_column.",
        )


def _answers(found: Overview, scan: Scan) -> Iterator[Advice]:
    if scan.same_answer == found.kept > 1:
        yield Advice(
            "Every answer is the same: the model learns to say it whatever is asked.",
            "Check that dataset.response_column is the column with the answers.",
        )
    elif (wordless := scan.wordless_answers) > MANY * found.kept:
        yield Advice(
            f"{_rows(wordless)} {_one(wordless, 'answers', 'answer')} without a single letter or digit.",
            "Take them out where that is no answer, or name another dataset.response_column.",
        )


def _duplicates(found: Overview) -> Iterator[Advice]:
    exact, near = found.duplicates.exact, found.duplicates.near
    if exact:
        yield Advice(
            f"{_rows(exact)} {_one(exact, 'repeats another and counts', 'repeat another and count')} for more.",
            "Keep one of each; more weight for all rows alike is training.num_train_epochs.",
        )
    if near > MANY * found.kept:
        yield Advice(
            f"{_rows(near)} ({_percent(near / found.kept)}) {_one(near, 'says', 'say')} nearly what another one says.",
            "Keep one of each kind, unless the variety is meant; training.num_train_epochs repeats all rows alike.",
        )


def _size(found: Overview, profile: Profile) -> Iterator[Advice]:
    rows, steps, warmup = found.train_rows, found.total_steps, profile.training.warmup_steps
    if 0 < rows < FEW_ROWS:
        yield Advice(
            f"There {_one(rows, 'is', 'are')} only {_rows(rows)} to train on: the model learns them by heart.",
            "Gather more rows, or stop early: training.num_train_epochs = 1, and watch the evaluation loss.",
        )
    if rows and steps <= warmup:
        yield Advice(
            f"The run ends at step {steps:,}, before the learning rate has risen to its peak (training.warmup_steps = "
            f"{warmup:,}).",
            f"training.warmup_steps = {steps // 10}, or more epochs: training.num_train_epochs.",
        )


def _room(found: Overview, lengths: Lengths, profile: Profile) -> Iterator[Advice]:
    limit, tokens = profile.model.max_seq_length, found.tokens
    assert tokens is not None
    enough, usual = _up(tokens.max), _up(tokens.p99)
    if limit >= 2 * enough:
        yield Advice(
            f"No row is longer than {tokens.max:,} tokens; the forecast counts memory for {limit:,}.",
            f"model.max_seq_length = {enough} cuts nothing.",
        )
    elif (longest := min(limit, tokens.max)) >= 2 * usual:
        cut = sum(rows for length, rows in lengths.counts.items() if length > usual)
        yield Advice(
            f"99 % of the rows have at most {tokens.p99:,} tokens; the few of up to {longest:,} decide how much memory "
            "the run takes.",
            f"model.max_seq_length = {usual} would do; it cuts {_rows(cut)}.",
        )


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _one(count: int, one: str, several: str) -> str:
    return one if count == 1 else several


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.1f} %" if share >= 0.001 else "under 0.1 %"


def _up(tokens: int) -> int:
    return -(-tokens // STEP) * STEP
