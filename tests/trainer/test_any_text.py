"""Whatever stands in a row, its very characters are what is learned: a byte-level tokenizer gives them back."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.training_runs import Trainer

NASTY = [
    "\x1b]0;owned\x07", "[/INST]", "</s>", "<|eot_id|>", "\u202e", "\u200b", "\r\n", "\x00", "e\u0301", "[bold]",
    "\U0001f9df\u200d\u2640", "\ufeff", "\u2028", "{{ x }}", "\\ud800",
]  # fmt: skip
TEXT = st.lists(st.one_of(st.text(max_size=20), st.sampled_from(NASTY)), max_size=4).map("".join)


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs=st.lists(st.tuples(TEXT, TEXT), min_size=80, max_size=120), texts=st.lists(TEXT, min_size=20, max_size=40))
def test_the_characters_come_back(trainer: Trainer, pairs: list[tuple[str, str]], texts: list[str]) -> None:
    rows = [
        *({"instruction": asked, "response": answer} for asked, answer in pairs),
        *({"text": text} for text in texts),
    ]
    file = trainer.folder / "any.jsonl"
    file.write_text(
        "".join(json.dumps(row, ensure_ascii=bool(at % 2)) + "\n" for at, row in enumerate(rows)), newline=""
    )
    found = trainer.run_program("tokens", "decode", str(file))
    assert found["bad"] == [line for line, row in enumerate(rows, 1) if not all(map(str.strip, row.values()))]
    for line, given_part, learned_part in found["rows"]:
        row = rows[line - 1]
        if "text" in row:
            ends = row["text"].rstrip().endswith("<|eot_id|>")  # then it gets no second one
            assert (given_part, learned_part) == ("", row["text"] + ("" if ends else "<|eot_id|>"))
            continue
        # The demo's template trims messages, as Llama 3's does.
        assert given_part == (
            f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{row['instruction'].strip()}<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        )
        assert learned_part == f"{row['response'].strip()}<|eot_id|>"
