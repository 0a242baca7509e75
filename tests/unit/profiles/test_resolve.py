"""A broken profile is told everything that is wrong with it, at once, each with field and line."""

import random
from pathlib import Path

import pytest

from codex_tui.base import locations
from codex_tui.profiles.resolve import resolve

NAMED = Path("mine.toml")
PIECES = ['"', "=", "[", "]", "\n", "-1", "nan", "é", "\x00", "'''"]
MODEL = '[model]\nname = "demo:llama"\n'


def problems_of(text: str) -> list[tuple[str, int | None, str]]:
    return [(problem.field, problem.line, problem.message) for problem in resolve(text, NAMED).problems]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    found = problems_of(MODEL + "max_seq_lenght = 3\n[lora]\nr = 0\nlearning_rate = 3\n")
    assert [(field, line) for field, line, _ in found] == [
        ("model.max_seq_lenght", 3),
        ("lora.r", 5),
        ("lora.learning_rate", 6),
    ]
    assert "did you mean max_seq_length?" in found[0][2]
    assert "given: 0" in found[1][2]
    assert "it belongs in [training]" in found[2][2]


@pytest.mark.parametrize(
    ("text", "field", "line", "word"),
    [
        ("", "model.name", None, "required"),
        ("a = [", "", 1, "not valid TOML"),
        (MODEL + "dtype = 'auto'\ndtype = 'auto'\n", "", 4, "a key is set a second time"),
        (MODEL + "[lora]\n[model]\n", "", 4, "the table [model] is there a second time"),
        (MODEL + f"dtype = '{'y' * 300}'\n", "model.dtype", 3, "(given: 'yyyy"),
        (MODEL + 'dtype = "float32"\n', "model.dtype", 3, "load_in_4bit"),
        (MODEL + "[training]\nlearning_rate = nan\n", "training.learning_rate", 4, "finite"),
        ("model = 3\n", "model", 1, "should be a table"),
        ("[model]\n", "model.name", 1, "required"),
        (
            MODEL + '[hardware]\ndevice = "gpu"\n',
            "hardware.device",
            4,
            'should be "auto", "cpu", a whole number or a list of whole numbers',
        ),
        (MODEL + 'extends = "demo"\n', "model.extends", 3, "at the top of the file"),
        (MODEL + "[[lora]]\nr = 1\n", "lora", 3, "should be a table: write [lora]"),
        (MODEL + '[lora]\nr = "16"\n', "lora.r", 4, "should be a whole number, not text in quotes (given: '16')"),
        (MODEL + "revision = '''\ndtype = 1\n[lora]'''\ndtype = 'x'\n", "model.dtype", 6, "float16"),
        (MODEL + "[trainning]\nseed = 1\n", "trainning", 3, "did you mean training?"),
    ],
)
def test_a_problem_names_field_and_line(text: str, field: str, line: int | None, word: str) -> None:
    [(found_field, found_line, message)] = problems_of(text)
    assert (found_field, found_line) == (field, line)
    assert word in message
    assert len(message) < 200


def test_what_is_out_of_all_proportion_is_told_in_a_line() -> None:
    for text, field, line, word in (
        ("a" + ".a" * 2000 + " = 1\n", "", 3, "more than 16 parts"),
        (f"[lora]\nlora_alpha = 0x{'f' * 9000}\n", "lora.lora_alpha", 4, "too large"),
        (f"[lora]\nlora_alpha = {'9' * 9000}\nr = 1\n", "", 4, "thousands of digits"),
        (f"revision = {'[' * 9000}\n", "", 1, "nested too deeply"),
        (f"extends = '{'x' * 9000}'\n", "model.extends", 3, "at the top of the file"),
        (f"{'x' * 9000} = 1\n", f"model.{'x' * 73}…", 3, "unknown field"),
    ):
        [(found_field, found_line, message)] = problems_of(MODEL + text)
        assert (found_field, found_line) == (field, line)
        assert word in message
        assert len(message) < 200


def test_defaults_are_explicit_in_the_resolved_whole() -> None:
    profile = resolve(MODEL, NAMED).profile
    assert profile and profile.model_dump()["training"]["gradient_accumulation_steps"] == 4


def test_mutations_of_a_shipped_profile_never_end_in_another_exception() -> None:
    source = (locations.shipped_profiles() / "rtx3050-4gb.toml").read_text(encoding="utf-8")
    dice = random.Random(0)
    broken = 0
    for _ in range(500):
        text = list(source)
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(len(text))
            text[at : at + dice.randint(0, 3)] = dice.choice(PIECES)
        resolved = resolve("".join(text), NAMED)
        broken += resolved.profile is None
        assert bool(resolved.problems) == (resolved.profile is None)
        assert all(problem.message and (problem.line or problem.field) for problem in resolved.problems)
    assert broken > 100
