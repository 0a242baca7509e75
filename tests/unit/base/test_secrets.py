"""A secret is taken out of whatever text is shown, however it is written there."""

import pytest

from codex_tui.base.secrets import redact

WHOLE = [
    '"sesame"',
    r'"a\"sesame\\"',
    "'''a''sesame\n'''",
    '"""a\\"""sesame""""',
    "['sesame']",
    '[  # sesame ]\n  ["]", \'sesame\'],\n  """\n]sesame"""\n]',
    "{ a = 'sesame', b = { c = [1, 'sesame'] } }",
]
BROKEN = [r'"sesame\"', '"sesame\\', "['sesame", '"""sesame\\', '"""sesame\\"""', "'''sesame''", "[['sesame']"]


@pytest.mark.parametrize("value", WHOLE)
def test_a_value_is_hidden_and_what_follows_is_not(value: str) -> None:
    text = "r = [8]\nx.hf_token={}  # kept\n'api_key' = {}\nr = [8]\n"
    assert redact(text.format(value, value)) == text.format('"…"', '"…"')


@pytest.mark.parametrize("value", BROKEN)
def test_a_broken_value_is_hidden(value: str) -> None:
    assert redact(f"password = {value}") == 'password = "…"'


@pytest.mark.parametrize("text", ["token = 5", "tokens = ['a']", "say 'token' or [token]", 'a = "="', "password ="])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_much_text_takes_no_time() -> None:
    for text in (
        'token = "' + "\\" * 200_000,
        "token = " + "[" * 200_000,
        "token = [" + "'\n" * 100_000,
        "token = '" * 50_000,
    ):
        redact(text)
