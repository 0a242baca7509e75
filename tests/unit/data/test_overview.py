"""What a dataset comes to under a profile, compared with counting row by row; and warnings, each with its remedy."""

from __future__ import annotations

from array import array
from dataclasses import replace
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codex_tui.data.advice import give_advice
from codex_tui.data.overview import compute_overview
from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import BAD, EXACT, NEAR, Scan
from training.dataset.split import choose_eval_rows, count_steps
from training.dataset.template_faults import TemplateFaults


def profile(length: int = 100, **tables: dict[str, Any]) -> Profile:
    training = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 1, "warmup_steps": 0}
    return Profile.model_validate(
        {
            "model": {"name": "-", "max_seq_length": length},
            "dataset": {"eval_fraction": 0.0, **tables.get("dataset", {})},
            "training": training | tables.get("training", {}),
        }
    )


def scan_of(good: int, bad: int = 0, **facts: Any) -> Scan:
    rows = good + bad
    return Scan(bytearray([0] * good + [BAD] * bad), array("I", range(rows)), **facts)


def lengths_of(*rows: tuple[int, int]) -> Lengths:
    """Rows with one answer at their end, each as its tokens and the place where the answer starts."""
    found = Lengths()
    for tokens, start in rows:
        found.add([(tokens, [(start, tokens)] if start < tokens else [])])
    return found


def messages(scan: Scan, lengths: Lengths | None, settings: Profile) -> str:
    warnings = list(give_advice(compute_overview(scan, lengths, settings), scan, lengths, settings))
    assert all(warning.message.endswith(".") and warning.remedy.endswith(".") for warning in warnings)
    return "\n".join(f"{warning.message} → {warning.remedy}" for warning in warnings)


SEQUENCE = st.lists(st.integers(0, 300), max_size=6, unique=True).flatmap(
    lambda edges: st.tuples(
        st.integers(max([1, *edges]), 310),
        st.just(list(zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False))),
    )
)
ROW = st.lists(SEQUENCE, min_size=1, max_size=3)


@given(
    st.lists(ROW, min_size=1, max_size=30),
    st.integers(16, 300),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from(["cut", "drop"]),
)
def test_the_sums_are_those_of_the_rows(rows: list[Any], limit: int, fraction: float, long_rows: str) -> None:
    settings = profile(limit, dataset={"eval_fraction": fraction, "max_eval_rows": 7, "long_rows": long_rows},
                       training={"gradient_accumulation_steps": 3, "per_device_train_batch_size": 2})  # fmt: skip
    lengths = Lengths()
    for row in rows:
        lengths.add(row)
    found = compute_overview(scan_of(len(rows)), lengths, settings, tokens_per_second=10)
    longest = limit if long_rows == "drop" else 10**9
    cut = [  # [tokens, learned tokens] of the sequences that remain of each row
        [
            (min(tokens, limit), learned)
            for tokens, spans in row
            if tokens <= longest and (learned := sum(max(0, min(end, limit) - start) for start, end in spans))
        ]
        for row in rows
    ]
    held = choose_eval_rows(len(rows), settings)
    train = [sequences for at, sequences in enumerate(cut) if at not in held and sequences]
    answers = [(tokens, *span) for row in rows for tokens, spans in row for span in spans]
    assert found.truncated == sum(any(tokens > limit for tokens, _ in row) for row in rows)
    assert found.answers == len(answers)
    assert found.answers_lost == sum(tokens > longest or start >= limit for tokens, start, _ in answers)
    assert found.answers_cut == sum(start < limit < end and tokens <= longest for tokens, start, end in answers)
    assert found.dropped_rows == sum(not sequences for sequences in cut)
    assert found.train_rows == len(train)
    assert found.train_sequences == sum(map(len, train))
    assert found.eval_rows == sum(1 for at in held if cut[at])
    assert found.learned_tokens == sum(learned for sequences in train for _, learned in sequences)
    assert found.train_tokens == sum(kept for sequences in train for kept, _ in sequences)
    assert found.steps_per_epoch == ceil(ceil(found.train_sequences / 2) / 3)
    assert found.seconds_per_epoch == (found.train_tokens / 10 if train else None)
    ordered = sorted(tokens for row in rows for tokens, _ in row)
    assert found.tokens is not None
    assert found.tokens.max == ordered[-1]
    assert found.tokens.p50 == ordered[(len(ordered) + 1) // 2 - 1]
    assert found.tokens.p50 <= found.tokens.p90 <= found.tokens.p95 <= found.tokens.p99 <= found.tokens.max


def test_refused_rows_are_neither_lost_nor_counted() -> None:
    lengths = lengths_of((50, 10), (60, 10))
    lengths.refuse("System role not supported")
    scan = scan_of(3, system_rows=1)
    found = compute_overview(scan, lengths, profile())
    assert (found.kept, found.refused, found.train_rows) == (3, 1, 2)
    assert (found.answers_lost, found.dropped_rows) == (0, 0)
    assert found.tokens is not None
    assert found.tokens.p50 == 50
    assert "the run would fail: System role not supported. → Remove the system messages from the rows" in messages(
        scan, lengths, profile()
    )
    brief = profile(dataset={"system_prompt": "Be brief."})
    assert "→ Unset dataset.system_prompt" in messages(scan_of(3), lengths, brief)


def test_without_tokens_the_rest_is_known() -> None:
    found = compute_overview(scan_of(90, 10), None, profile(dataset={"on_bad_rows": "skip"}))
    assert (found.rows, found.kept, found.tokens, found.learned_tokens, found.truncated) == (100, 90, None, None, None)
    assert (found.train_rows, found.steps_per_epoch, found.seconds_per_epoch) == (90, 90, None)


def test_steps_in_all() -> None:
    assert count_steps(profile(training={"num_train_epochs": 1.5}), 3) == (3, 5)
    assert count_steps(profile(training={"max_steps": 2}), 3) == (3, 2)
    assert count_steps(profile(), 0) == (0, 0)


GOOD = [(90, 20)] * 200


def test_a_good_dataset_has_no_warnings() -> None:
    assert messages(scan_of(200), lengths_of(*GOOD), profile()) == ""


@pytest.mark.parametrize(
    ("rows", "length", "said"),
    [
        ([(400, 150), *GOOD], 100, "1 answer of 201 lies wholly beyond the cut at 100 tokens: the model can't "
         "learn it. 1 row has no other answer and is dropped. → model.max_seq_length = 192 keeps a part of every "
         "answer, 448 cuts none"),
        ([(400, 50)] * 3 + GOOD, 100, "3 answers (1.5 %) are cut at 100 tokens: the model does not learn how "
         "they end or when to stop. → model.max_seq_length = 448 cuts none."),
        ([(400, 300)] * 3, 100, "The model would learn nothing: no training row has any of its answer within 100 "
         "tokens. → model.max_seq_length = 448"),
        ([(50, 50), *GOOD], 100, "leaves no answer in 1 row, which is dropped"),
        (GOOD, 1000, "No row is longer than 90 tokens; the memory forecast assumes 1,000. → "
         "model.max_seq_length = 128"),
        ([(900, 20), *GOOD], 1000, "99 % of the rows have at most 90 tokens; the few of up to 900 decide how much "
         "memory the run needs. → model.max_seq_length = 128 needs less; it cuts 1 row."),
        (GOOD[:30], 100, "only 30 training rows"),
    ],
)  # fmt: skip
def test_warnings_of_the_cut(rows: list[tuple[int, int]], length: int, said: str) -> None:
    assert said in messages(scan_of(len(rows)), lengths_of(*rows), profile(length))


@pytest.mark.parametrize(
    ("scan", "tables", "said"),
    [
        (scan_of(200, 1), {}, "1 row can't be used for training, so the run will not start. → Fix it, or set "
         'dataset.on_bad_rows = "skip"'),
        (scan_of(200, 50), {"dataset": {"on_bad_rows": "skip"}}, "50 rows (20 %) can't be used for training and are "
         "skipped."),
        (scan_of(0, 5), {}, "None of the 5 rows can be used for training. → Name the columns with the questions and "
         "answers: dataset.instruction_column"),
        (scan_of(0), {}, "There are no rows."),
        (scan_of(200, same_answer=200), {}, "Every answer is the same"),
        (scan_of(200, wordless_answers=5), {}, "5 rows have an answer without a single letter or digit"),
        (scan_of(200, text_columns=("story",)), {}, 'The column "story" is ignored'),
        (scan_of(200, overlap=1), {}, "1 evaluation row also occurs in training"),
        (scan_of(200), {"training": {"warmup_steps": 500}}, "ends at step 200, before the learning rate has risen"),
    ],
)  # fmt: skip
def test_warnings_of_the_rows(scan: Scan, tables: dict[str, Any], said: str) -> None:
    assert said in messages(scan, None, profile(**tables))


def test_duplicates_and_a_template_without_a_system_role() -> None:
    scan = scan_of(200)
    scan.states[5], scan.states[6:16] = EXACT, bytes([NEAR] * 10)
    lengths = replace(lengths_of(*GOOD), system_ignored=True)
    found = compute_overview(scan, lengths, profile())
    assert (found.duplicates.exact, found.duplicates.near) == (1, 10)
    said = messages(scan, lengths, profile())
    assert "1 row repeats another row and gives it more weight" in said
    assert "10 rows (5.0 %) are nearly the same as another row" in said
    assert "silently leaves out system messages" in said


def test_a_cut_conversation_still_teaches_its_earlier_answers() -> None:
    lengths = Lengths()
    for _ in range(200):
        lengths.add([(300, [(20, 40), (60, 90), (200, 240), (260, 300)])])
    found = compute_overview(scan_of(200), lengths, profile(220))
    assert (found.train_rows, found.truncated, found.answers) == (200, 200, 800)
    assert (found.answers_lost, found.answers_cut, found.dropped_rows) == (200, 200, 0)
    said = messages(scan_of(200), lengths, profile(220))
    assert "200 answers of 800 lie wholly beyond the cut at 220 tokens: the model can't learn them. →" in said
    assert "200 answers (25 %) are cut at 220 tokens" in said


@pytest.mark.parametrize(
    ("long_rows", "said"),
    [
        ("drop", "3 rows (1.5 %) longer than 100 tokens are dropped: 3 answers of 203. → model.max_seq_length = 448"),
        ("refuse", "3 rows are longer than 100 tokens, so the run will not start. → model.max_seq_length = 448"),
    ],
)
def test_long_rows_are_dropped_or_refused(long_rows: str, said: str) -> None:
    rows = [(400, 50)] * 3 + GOOD
    assert said in messages(scan_of(203), lengths_of(*rows), profile(100, dataset={"long_rows": long_rows}))


def test_what_the_template_takes_away_is_counted() -> None:
    lengths = replace(lengths_of(*GOOD), faults=TemplateFaults(reasoning_lost=2, endless=200, unlike_chat=1))
    said = messages(scan_of(200), lengths, profile())
    assert "leaves out the reasoning of 2 answers: the model does not learn to reason like this. → Choose" in said
    assert "1 answer is learned without it, so the chat may differ from what was learned. → Choose" in said
    assert "writes no end-of-turn token after 200 answers: the model does not learn to stop. → Choose" in said


def test_a_loss_that_is_logged_once_is_warned_of() -> None:
    scan, lengths = scan_of(60), lengths_of(*[(10, 5)] * 60)
    assert "logged" not in messages(scan, lengths, profile(training={"logging_steps": 60}))
    says = "The loss is logged every 61 steps, and the run has 60 steps: it shows one loss, at the end."
    assert says in messages(scan, lengths, profile(training={"logging_steps": 61}))
    assert says in messages(scan, None, profile(training={"logging_steps": 61}))  # before the tokens are counted
