"""What is learned of a conversation is what the row says, with every kind of chat template."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.training_runs import Trainer, demo_profile

STYLES = ("gemma", "mistral", "chatml", "llama-3", "qwen-3", "r1", "generation", "phi-3", "endless")
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "abcdefghi", "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Riga"}'}}],
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]
WITH_TOOLS: dict[str, Any] = {
    "tools": TOOLS,
    "messages": [
        {"role": "user", "content": "Is it cold in Riga?"},
        CALL,
        {"role": "tool", "content": "2 degrees", "tool_call_id": "abcdefghi"},
        {"role": "assistant", "content": "Yes, it has 2 degrees."},
        {"role": "user", "content": "And in Rome?"},
        {"role": "assistant", "content": "I can't know."},
    ],
}
WITH_REASONING: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": "Which map?"},
        {"role": "assistant", "content": "The dock.", "reasoning_content": "It has one entrance."},
        {"role": "user", "content": "Which gun?"},
        {"role": "assistant", "content": "The shotgun.", "reasoning_content": "Close range first."},
    ]
}


def turns(count: int, unlearned: tuple[int, ...] = (), system: str = "") -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for number in range(count):
        answer = {"role": "assistant", "content": f"You need gun {number}, \U0001f9df and 3.5 <b>.\nThen wait."}
        messages += [
            {"role": "user", "content": f"What comes {number}?"},
            answer | ({"weight": 0} if number in unlearned else {}),
        ]
    return {"messages": messages}


ROWS = [
    turns(1), turns(5), turns(1, system="Be brief."), turns(5, system="Be brief."), turns(5, (0, 3)), turns(5, (4,)),
    turns(5, (0, 1, 2, 3), "Be brief."), WITH_TOOLS, WITH_REASONING,
]  # fmt: skip


def test_ids_and_labels_are_those_of_unsloth_and_trl(trainer: Trainer) -> None:
    file = trainer.folder / "masks.json"
    file.write_text(json.dumps(ROWS))
    found = trainer.run_program("masks", "compare", str(file))
    assert {style: differences for style, (_, differences) in found.items()} == {style: [] for style in found}
    compared = {style: rows for style, (rows, _) in found.items()}
    # The others: Gemma has no system role, and the templates without tools refuse the row that has them.
    rows = {"gemma": 5, "mistral": 5, "chatml": 8, "llama-3": 9, "qwen-3": 9, "r1": 8, "phi-3": 8}
    kinds = ("", " with BOS", " of bytes", " of pieces")  # the last two don't tell the characters of their tokens
    expected = {f"{style}{kind}": count for style, count in rows.items() for kind in kinds}
    assert compared == expected | {"generation": 8, "generation with BOS": 8}


def test_texts_begin_and_end_once_with_every_kind_of_tokenizer(trainer: Trainer) -> None:
    """Whether or not the tokenizer adds such a token by itself, and whether or not the text has it already."""
    found = trainer.run_program("masks", "encode_texts")
    assert found == {kind: ["Hi", "Hi"] for kind in ("", "with BOS", "of bytes", "of pieces")}


def test_what_a_template_leaves_out_is_known(trainer: Trainer) -> None:
    file = trainer.folder / "left-out.json"
    file.write_text(json.dumps([WITH_TOOLS, WITH_TOOLS | {"tools": []}, WITH_REASONING, turns(2, system="Be brief.")]))
    found = trainer.run_program("masks", "describe", str(file))
    refusals = {style: [row["refusal"] for row in rows] for style, rows in found.items()}
    assert refusals["llama-3"] == refusals["qwen-3"] == ["", "", "", ""]
    assert refusals["chatml"] == ["it has no place for tools", "it leaves out tool calls", "", ""]
    assert refusals["gemma"][3] == "System role not supported"
    # The reasoning of both answers reaches Qwen 3's template, and no other one; it is learned with its answer.
    lost = {style: rows[2]["faults"]["reasoning_lost"] for style, rows in found.items()}
    assert lost == {style: 0 if style == "qwen-3" else 2 for style in STYLES}
    assert found["qwen-3"][2]["learned"] == [
        ["<think>\nIt has one entrance.\n</think>\n\nThe dock.<|im_end|>"],
        ["<think>\nClose range first.\n</think>\n\nThe shotgun.<|im_end|>"],
    ]
    assert {style for style, rows in found.items() if rows[2]["faults"]["endless"]} == {"endless"}
    assert {style for style, rows in found.items() if rows[2]["faults"]["unlike_chat"]} == {"r1"}
    # Mistral shows the system message in the newest question only: the model answers it, so it learns from it.
    assert found["mistral"][3]["texts"] == [
        "<s>[INST] Be brief.\n\nWhat comes 0?[/INST] You need gun 0, <unk> and 3.5 <b>.\nThen wait.</s>",
        "<s>[INST] What comes 0?[/INST] You need gun 0, <unk> and 3.5 <b>.\nThen wait.</s>"
        "[INST] Be brief.\n\nWhat comes 1?[/INST] You need gun 1, <unk> and 3.5 <b>.\nThen wait.</s>",
    ]
    assert [len(learned) for learned in found["mistral"][3]["learned"]] == [1, 1]


TEXT = st.text(st.sampled_from("ab \n.<>'\"{}[]é\U0001f9df"), min_size=1, max_size=12).filter(str.strip)
REASONING = st.none() | TEXT


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """Conversations whose messages each have a number, so that they can be found."""
    messages: list[dict[str, Any]] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": f"{draw(TEXT)}s."})
    count = draw(st.integers(1, 5))
    for number in range(count):
        messages.append({"role": "user", "content": f"{draw(TEXT)}q{number}."})
        answer = {"role": "assistant", "content": f"{draw(TEXT)}a{number}.{draw(TEXT)}"}
        if reasoning := draw(REASONING):
            answer["reasoning_content"] = reasoning
        if number < count - 1 and draw(st.booleans()):
            answer["train"] = False
        messages.append(answer)
    return {"messages": messages}


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(conversations(), min_size=40, max_size=60), learn=st.sampled_from(["all_answers", "last_answer"]))
def test_each_answer_is_learned_once_after_the_prompt_for_it(
    trainer: Trainer, rows: list[dict[str, Any]], learn: str
) -> None:
    file = trainer.folder / "conversations.json"
    file.write_text(json.dumps(rows))
    checked, violations = trainer.run_program("masks", "find_violations", str(file), learn)
    assert violations == []
    assert all(checked[style] for style in STYLES)


@pytest.mark.parametrize("style", ["qwen-3", "mistral", "generation"])
def test_screen_and_trainer_agree(trainer: Trainer, style: str) -> None:
    """The worker of the data screen, `data check` and the trainer's batches have the same ids and labels."""
    file, folder = trainer.folder / f"{style}.jsonl", trainer.folder / f"model-{style}"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    trainer.run_program("masks", "build_model", style, str(folder))
    profile = demo_profile(
        model={"name": str(folder), "max_seq_length": 100},
        dataset={"eval_fraction": 0.2, "on_bad_rows": "skip", "long_rows": "cut"},
    )
    run = trainer.run(f"masks-{style}", profile, str(file))
    taught = trainer.run_program("batches", "of_run", str(run.path))
    shown = trainer.run_program("masks", "of_worker", str(run.path))
    assert sorted(shown["train"]) == sorted(taught["train"])
    assert sorted(shown["eval"]) == sorted(taught["eval"])
    assert shown["lengths"] == shown["rows"]
    assert len(taught["train"]) >= 6
