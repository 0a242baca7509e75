"""The table of a judgement, in any width."""

from __future__ import annotations

import pytest
from support.judge_screen import judge_questions
from support.judged import judge_pairs, make_judgement

from codex_tui.judge.table import GAP, make_table


def cells_of(rows: list[tuple[str, ...]], name: str) -> dict[str, str]:
    row = next(row for row in rows if row[0].strip() == name)
    return {heading.strip(): cell.strip() for heading, cell in zip(rows[0], row, strict=True)}


def test_a_wide_table_has_every_figure() -> None:
    cells = cells_of(make_table(make_judgement(judge_questions(24)), 400), "all")
    assert cells["N"] == "24" and cells["passes"] == "1 → 18" and cells["W/L/T"] == "18/1/5"
    assert cells["difference (95 %)"].startswith("+17 (+")
    assert cells["loss/token"] == "6.90 → 0.40" and cells["loss by (95 %)"].startswith("−6.50 (−")
    assert cells["perplexity"] == "992.3 → 1.5" and cells["chrF"].startswith("14 → ")


@pytest.mark.parametrize("width", [40, 60, 76, 96, 116, 196])
def test_a_table_fits_and_keeps_what_matters_most(width: int) -> None:
    rows = make_table(make_judgement(judge_questions(24)), width)
    lengths = {sum(map(len, row)) + GAP * (len(row) - 1) for row in rows}
    assert len(lengths) == 1 and lengths.pop() <= width
    headings = [cell.strip() for cell in rows[0]]
    assert headings[1:3] == ["N", "passes"]
    if width >= 90:
        assert "weapon priority" in {row[0].strip() for row in rows}
    if width >= 76:
        assert headings[3:7] == ["difference (95 %)", "W/L/T", "loss/token", "chrF"]


def test_without_conditions_chrf_decides() -> None:
    cells = cells_of(make_table(make_judgement(judge_pairs([(None, None)] * 8)), 200), "all")
    assert "passes" not in cells
    assert cells["exact"] == "0 → 0" and cells["chrF by (95 %)"] == "0 (0 to 0)"
