"""TOML within limits: what is refused, what only looks like it, and what the errors say."""

from __future__ import annotations

import pytest

from codex_tui.base.toml import MAX_KEY_PARTS, TomlError, parse_toml

TOO_LONG = ".".join(["a"] * 100_000)  # tomllib needs more than 40 s and several GB for it


@pytest.mark.parametrize(
    "text",
    [
        f"{TOO_LONG} = 1\n",
        f"[{TOO_LONG}]\n",
        f"[[{TOO_LONG}]]\n",
        f"b = {{{TOO_LONG} = 1}}\n",
        f"b = [{{{TOO_LONG} = 1}}]\n",
        ".".join(['"a.b"', "'c'", "d "] * 30_000) + " = 1\n",
    ],
)
def test_a_key_of_too_many_parts_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(TomlError, match=f"more than {MAX_KEY_PARTS} parts") as caught:
        parse_toml('# first\ntitle = "x"\n' + text)
    assert caught.value.line == 3


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * MAX_KEY_PARTS) + " = 1",
        f'"{TOO_LONG}" = 1',
        f"b = '{TOO_LONG}'",
        f'b = """\n{TOO_LONG}\n\\"""{TOO_LONG}"""',
        f"b = '''\n{TOO_LONG}\n'''",
        f"# {TOO_LONG}",
        f'b = "\\"{TOO_LONG}" # "',
    ],
)
def test_dots_in_texts_and_comments_are_no_keys(text: str) -> None:
    parse_toml(text)


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 400_000,
        '"""' * 300_001,
        "'''\n" * 200_001,
        "a . " * 250_000,
        "[" * 900_000,
        '"\\\n' * 300_000,
    ],
)
def test_a_hostile_text_of_one_mebibyte_is_refused_at_once(text: str) -> None:
    with pytest.raises(TomlError):
        parse_toml(text)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("\na = [", "not valid TOML: ", 2),
        ("a = 1\na = 2", "a key is set a second time", 2),
        ("[a]\n[a]", "the table [a] is there a second time", 2),
        (f"a = 1\nb = {'9' * 5000}", "a number has thousands of digits", 2),
        (f"a = {'[' * 9000}", "nested too deeply", 1),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, message: str, line: int) -> None:
    with pytest.raises(TomlError) as caught:
        parse_toml(text)
    assert message in caught.value.message and caught.value.line == line
