"""Tests of the preview of a run: what is cut where there is no room."""

from __future__ import annotations

from codex_tui.runs.judged import JudgedSummary
from codex_tui.runs.summary import RunSummary
from codex_tui.ui.runs.preview import draw_end, draw_facts
from training.contract import events as ev


def test_a_long_path_keeps_its_name_and_a_long_note_its_beginning() -> None:
    run = RunSummary(
        name="a",
        directory="/runs/a",
        status="done",
        model="/models/" + "x" * 60 + "/Llama-3.2-1B",
        dataset="/data/" + "y" * 60 + "/guide.jsonl",
        note="the best so far " * 10,
    )
    facts = {row.plain[:7].strip(): row.plain for row in draw_facts(run, None, 50)}
    assert facts["model"].endswith("/Llama-3.2-1B") and facts["model"].startswith("model    …")
    assert facts["dataset"].endswith("/guide.jsonl") and facts["dataset"].startswith("dataset  …")
    assert facts["note"].startswith("note     the best so far") and facts["note"].endswith("…")
    assert max(map(len, facts.values())) == 50


def test_the_preview_has_the_pass_rate_and_the_last_judgement() -> None:
    judged = JudgedSummary(
        name="book", against="base", book="book.jsonl", created=1.0, questions=40, marked=40, adapter_passes=26,
        other_passes=0, levels="passes 0 → 26 of 40", conclusion="",
    )  # fmt: skip
    rate = ev.PassRate(step=9, passes=26, questions=40, trained_passes=24, trained_questions=24)
    run = RunSummary(name="a", directory="/runs/a", status="done", judgements=(judged,), pass_rate=rate)
    facts = {row.plain[:7].strip(): row.plain for row in draw_facts(run, None, 60)}
    assert facts["passes"] == "passes   26 of 40 (trained 24 of 24, unseen 2 of 16)"
    assert draw_end(run, 60)[1].plain == "judged   against base: passes 0 → 26 of 40"
    assert draw_end(run, 30)[1].plain == "judged   against base: passes…"
