"""Which answers, reasoning and tools are read of conversations, and which rows are for another kind of training."""

from __future__ import annotations

from typing import Any

import pytest

from training.dataset.records import BadRow, Record
from training.dataset.shapes import USUAL, Columns, Row, read_row

ASK = {"role": "user", "content": "Who?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"who": "Rook"}'}}
READ_CALL = {"type": "function", "function": {"name": "find", "arguments": {"who": "Rook"}}}


def read(raw: dict[str, Any], columns: Columns = USUAL) -> Row:
    return read_row(Record(0, 1, raw), columns)


def answer(content: str = "Rook.", **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


@pytest.mark.parametrize(
    ("messages", "answers"),
    [
        ([ASK, answer(), ASK, answer()], (1, 3)),
        ([ASK, answer(weight=1), ASK, answer(weight=0)], (1,)),
        ([ASK, answer(weight=0), ASK, answer(weight=1.0)], (3,)),
        ([ASK, answer(train=False), ASK, answer(train=True), ASK, answer(training=False)], (3,)),
        ([answer("Hello!"), ASK, answer()], (2,)),  # nobody asked for the greeting
        ([ASK, answer(""), ASK, answer()], (3,)),  # an empty answer teaches nothing
        ([{**ASK, "weight": 1, "train": True}, answer()], (1,)),
    ],
)
def test_which_answers_are_learned(messages: list[dict[str, Any]], answers: tuple[int, ...]) -> None:
    row = read({"messages": messages})
    assert row.answers == answers
    assert len(row.messages) == answers[-1] + 1
    assert all({*message} == {"role", "content"} for message in row.messages)


def test_sharegpt_says_what_is_not_learned_too() -> None:
    turns = [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Rook.", "train": False}] * 2
    turns[3] = {"from": "gpt", "value": "Rook."}
    assert read({"conversations": turns}).answers == (3,)


def test_the_answers_in_a_prompt_are_given() -> None:
    row = read({"prompt": [ASK, answer(), ASK], "completion": [answer(), ASK, answer()]})
    assert row.answers == (3, 5)


@pytest.mark.parametrize("name", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_reaches_the_template_by_both_names(name: str) -> None:
    row = read({"messages": [ASK, answer(**{name: "A hero."})]})
    assert row.messages[1] == answer(reasoning_content="A hero.", thinking="A hero.")


@pytest.mark.parametrize(
    "calling",
    [
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "here"}],
        [{"role": "assistant", "function_call": CALL["function"]}, {"role": "function", "content": "here"}],
        [{"from": "function_call", "value": '{"name": "find", "arguments": {"who": "Rook"}}'},
         {"from": "observation", "value": "here"}],
    ],
)  # fmt: skip
def test_tool_calls_have_one_form(calling: list[dict[str, Any]]) -> None:
    sharegpt = "from" in calling[0]
    ask, end = ({"from": "human", "value": "Who?"}, {"from": "gpt", "value": "Rook."}) if sharegpt else (ASK, answer())
    row = read({"conversations" if sharegpt else "messages": [ask, *calling, end]})
    _, call, result, _ = row.messages
    assert row.answers == (1, 3)  # the model gives the call too
    assert (call["content"], result) == ("", {"role": "tool", "content": "here"})
    assert [{**made, "id": ""} for made in call["tool_calls"]] == [{**READ_CALL, "id": ""}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("tools", [{"type": "function", "function": {"name": "find"}}]),
        ("tools", '[{"name": "find"}]'),
        ("tools", ['{"name": "find"}']),
        ("functions", [{"name": "find"}]),
    ],
)
def test_tools_have_one_form(column: str, value: Any) -> None:
    row = read({"messages": [ASK, answer()], column: value})
    assert row.tools == [{"type": "function", "function": {"name": "find"}}]
    assert row.used == ("messages", column)


@pytest.mark.parametrize("value", [None, [], "[]", "hammer and saw", 3])
def test_no_tools(value: Any) -> None:
    row = read({"messages": [ASK, answer()], "tools": value})
    assert (row.tools, row.used) == (None, ("messages",))


def test_alpacas_history_becomes_earlier_turns() -> None:
    row = read({"instruction": "And then?", "input": "", "output": "The rifle.", "system": "Be brief.",
                "history": [["Which gun first?", "The shotgun."]]})  # fmt: skip
    assert [(message["role"], message["content"]) for message in row.messages] == [
        ("system", "Be brief."), ("user", "Which gun first?"), ("assistant", "The shotgun."),
        ("user", "And then?"), ("assistant", "The rifle."),
    ]  # fmt: skip
    assert row.answers == (2, 4)
    assert "history" in row.used
    for other in ([], None, "a subject"):
        assert read({"instruction": "a", "output": "b", "history": other}).used == ("instruction", "output")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ({"messages": [ASK, answer(weight=0)]}, "every assistant message has weight 0 or train = false"),
        ({"messages": [ASK, answer(weight=0.5)]}, 'message 2: "weight" must be 0 or 1'),
        ({"messages": [ASK, answer(train="no")]}, 'message 2: "train" must be true or false'),
        ({"messages": [ASK, answer(tool_calls=[{}])]}, "message 2: a call has no name"),
        ({"messages": [ASK, answer(function_call={"name": "f", "arguments": "{"})]}, "arguments of f must be a JSON"),
        ({"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "f()"}]},
         "message 2: a call must be JSON such as"),
        ({"messages": [ASK, answer()], "tools": [{"type": "function"}]}, '"tools" must be a list of functions'),
        ({"instruction": "a", "output": "b", "history": [["a"]]}, '"history" must be a list of pairs'),
        ({"prompt": "a", "completion": "b", "label": False}, '"label" is false: the row marks its answer'),
        ({"prompt": "a", "completion": "b", "label": "False"}, '"label" is false'),
        ({"messages": [ASK, answer()], "kto_tag": False}, '"kto_tag" is false'),
        ({"prompt": "a", "chosen": "b", "rejected": "c"},
         'to learn the good one, set dataset.response_column = "chosen"'),
        ({"chosen": [ASK, answer()], "rejected": [ASK, answer("no")]}, 'set dataset.messages_column = "chosen"'),
        ({"messages": [ASK, answer()], "rejected": answer("no")}, '"rejected" is an answer to avoid'),
        ({"messages": [ASK, answer()], "images": ["a.png"]}, 'has images or sound ("images")'),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, answer()]}, "an image, and only text"),
    ],
)  # fmt: skip
def test_a_row_that_would_teach_something_else_is_refused(raw: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as refused:
        read(raw)
    assert reason in str(refused.value)


def test_the_good_answer_of_preferences_can_be_named() -> None:
    row = read({"prompt": "a", "chosen": "b", "rejected": "c"}, Columns(instruction="prompt", response="chosen"))
    assert row.messages[-1]["content"] == "b"
    row = read({"chosen": [ASK, answer()], "rejected": []}, Columns(messages="chosen"))
    assert row.messages == [ASK, answer()]


@pytest.mark.parametrize("more", [{"label": True}, {"label": 0}, {"label": None}, {"images": []}, {"image": None}])
def test_other_values_are_no_marks(more: dict[str, Any]) -> None:
    assert read({"prompt": "a", "completion": "b", **more}).answers == (1,)
    assert read({"instruction": "a", "output": "b", "label": False}).answers == (1,)


@pytest.mark.parametrize("key", ["text", "value"])
def test_parts_of_text_are_joined(key: str) -> None:
    parts = [{"type": "text", key: "Which "}, {"type": "text", key: "gun?"}]
    row = read({"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "The rifle."}]})
    assert row.messages[0]["content"] == "Which gun?"


def test_a_part_without_text_is_named() -> None:
    content = [{"type": "text", "words": "Gun?"}]
    with pytest.raises(BadRow, match='message 1: "content" has a part without "text"'):
        read({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "b"}]})


@pytest.mark.parametrize("question", ["", " ", None])
def test_an_empty_instruction_leaves_the_input_as_the_question(question: str | None) -> None:
    row = read({"instruction": question, "input": "What clears stage two?", "output": "Fire traps."})
    assert row.messages[0]["content"] == "What clears stage two?"
