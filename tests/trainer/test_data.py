"""The one path from a row to what is learned gives the very tensors that TRL's own conversational path gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.training_runs import Trainer, demo_profile

from training.dataset.source import DEMO_FILE


def test_batches_equal_those_of_trl(trainer: Trainer, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"instruction": "Who?", "response": "Rook."}\n'
        '{"instruction": "Say it all.", "response": "' + "one two three four five " * 20 + '"}\n'
        '{"instruction": "' + "why " * 80 + '", "response": "So."}\n'
        '{"messages": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Hi"}, '
        '{"role": "assistant", "content": "Ho"}, {"role": "user", "content": "And?"}, '
        '{"role": "assistant", "content": "  No. "}]}\n'
        '{"question": "Caf\\u00e9 \\ud83e\\udddf?", "answer": "<|eot_id|> [/INST] \\u00fc"}\n'
    )
    found = trainer.run_program("batches", "compare_with_trl", str(rows))
    assert found["same"]
    assert found["batches"] > 0
    assert found["ours"] == found["theirs"] == found["rows"] - found["dropped"]
    assert found["dropped"] >= 1
    assert found["truncated"] >= 1
    assert found["masked"] > 20


def test_rows_that_the_template_refuses_end_the_run_or_are_left_out(trainer: Trainer) -> None:
    (trained, dropped, refused), message = trainer.run_program("tokens", "refuse_system_messages")
    assert message == "line 2: the model's chat template refuses this row: no system role."
    assert (trained, dropped, refused) == (2, 1, [message])


def test_rows_are_tokenised_once(trainer: Trainer) -> None:
    """The second time they come from the cache, the same to the last id. Other rows and settings are others."""
    found = trainer.run_program("tokens", "tokenise_again", str(trainer.folder / "tokens-cache"))
    assert found["same"]
    assert found["details"] == {
        "first": ["", ""], "again": ["from the cache"], "another row": ["", ""], "another mask": ["", ""],
        "another template": ["", ""],
    }  # fmt: skip


def test_the_helper_has_the_tokens_of_unsloths_tokenizer(trainer: Trainer, tmp_path: Path) -> None:
    """What a helper has tokenised is used with the same tokenizer, and with no other one."""
    user = replace(trainer, cache=tmp_path / "cache")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(DEMO_FILE.read_text() + '{"text": "A zombie comes in a wave."}\n')
    run = user.run("compared", demo_profile(), str(rows))
    found = user.run_program("token_helper", "compare", str(run.path))
    used = {"nothing", "padding side"}  # padding decides no token of a row
    assert found == {name: [name in used, True] for name in found}
    assert len(found) > len(used)


def test_a_sample_asks_a_row_that_the_template_accepts_with_its_tools(trainer: Trainer) -> None:
    prompt, tools, reference = trainer.run_program("tokens", "choose_question")
    assert (prompt, reference) == ("Where?", '{"name": "find", "arguments": {"who": "Rook"}}')
    assert tools == [{"type": "function", "function": {"name": "find"}}]


def test_long_rows_are_cut_dropped_or_refused(trainer: Trainer) -> None:
    found = trainer.run_program("tokens", "treat_long_rows")
    (short, long), dropped, truncated, longest = found["cut"]
    assert (long[0], dropped, truncated) == (50, 0, 1)
    assert long[1] > short[1]  # the answers before the cut are learned
    assert found["drop"] == [[short], 1, 0, longest]
    assert found["refuse"].startswith(f"1 row is longer than 50 tokens. The first: line 2 has {longest} tokens")
