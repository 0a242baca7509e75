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
    found = Lengths()
    for tokens, start in rows:
        found.add(tokens, start)
    return found


def messages(scan: Scan, lengths: Lengths | None, settings: Profile) -> str:
    warnings = list(give_advice(compute_overview(scan, lengths, settings), scan, lengths, settings))
    assert all(warning.message.endswith(".") and warning.remedy.endswith(".") for warning in warnings)
    return "\n".join(f"{warning.message} → {warning.remedy}" for warning in warnings)


ROW = st.tuples(st.integers(1, 300), st.integers(0, 300)).map(lambda row: (row[0], min(row)))


@given(st.lists(ROW, min_size=1, max_size=40), st.integers(16, 300), st.sampled_from([0.0, 0.1, 0.5]))
def test_the_sums_are_those_of_the_rows(rows: list[tuple[int, int]], limit: int, fraction: float) -> None:
    settings = profile(limit, dataset={"eval_fraction": fraction, "max_eval_rows": 7},
                       training={"gradient_accumulation_steps": 3, "per_device_train_batch_size": 2})  # fmt: skip
    found = compute_overview(scan_of(len(rows)), lengths_of(*rows), settings, tokens_per_second=10)
    cut = [(min(tokens, limit), max(0, min(tokens, limit) - start)) for tokens, start in rows]
    held = choose_eval_rows(len(rows), settings)
    train = [row for at, row in enumerate(cut) if at not in held and row[1]]
    assert found.truncated == sum(tokens > limit for tokens, _ in rows)
    assert found.answers_lost == sum(not learned for _, learned in cut)
    assert found.train_rows == len(train)
    assert found.eval_rows == sum(1 for at in held if cut[at][1])
    assert found.learned_tokens == sum(learned for _, learned in train)
    assert found.train_tokens == sum(kept for kept, _ in train)
    assert found.steps_per_epoch == ceil(ceil(len(train) / 2) / 3)
    assert found.seconds_per_epoch == (found.train_tokens / 10 if train else None)
    ordered = sorted(tokens for tokens, _ in rows)
    assert found.tokens is not None
    assert found.tokens.max == ordered[-1]
    assert found.tokens.p50 == ordered[(len(ordered) + 1) // 2 - 1]
    assert found.tokens.p50 <= found.tokens.p90 <= found.tokens.p95 <= found.tokens.p99 <= found.tokens.max


def test_refused_rows_are_neither_lost_nor_counted() -> None:
    lengths = lengths_of((50, 10), (60, 10))
    lengths.refuse("System role not supported")
    scan = scan_of(3, system_rows=1)
    found = compute_overview(scan, lengths, profile())
    assert (found.kept, found.refused, found.answers_lost, found.train_rows) == (3, 1, 0, 2)
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
        ([(400, 150), *GOOD], 100, "1 row of 201 loses the whole answer to the cut at 100 tokens and is dropped: "
         "the model can't learn from it. → model.max_seq_length = 192 keeps a part of every answer, 448 cuts none"),
        ([(400, 50)] * 3 + GOOD, 100, "3 rows (1.5 %) are cut at 100 tokens: the model does not learn how these "
         "answers end or when to stop. → model.max_seq_length = 448 cuts none."),
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
