"""Tests of the preview of a run: what is cut where there is no room."""

from __future__ import annotations

from codex_tui.runs.summary import RunSummary
from codex_tui.ui.runs.preview import draw_facts


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
