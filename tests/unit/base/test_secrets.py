"""A secret is taken out of whatever text is shown, however it is written there."""

import pytest

from codex_tui.base.secrets import redact

ON_ONE_LINE = ['"sesame"', r'"a\"sesame\\"', "'sesame'", '"a" # sesame', '"" + "sesame"']
ON_SEVERAL = [
    "'''a''sesame\n'''",
    '"""a\\"""sesame""""',
    "['sesame']",
    '[  # sesame ]\n  ["]", \'sesame\'],\n  """\n]sesame"""\n]',
    "{ a = 'sesame', b = { c = [1, 'sesame'] } }",
]
BROKEN = [r'"sesame\"', '"sesame\\', "['sesame", '"""sesame\\', '"""sesame\\"""', "'''sesame''", "[['sesame']"]


@pytest.mark.parametrize("value", ON_ONE_LINE)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_value_is_hidden_up_to_the_end_of_its_line(value: str, end: str) -> None:
    text = f"r = [8]{end}x.hf_token={value}{end}'api_key' = {value}{end}r = [8]{end}"
    assert redact(text) == f"""r = [8]{end}x.hf_token="…"{end}'api_key' = "…"{end}r = [8]{end}"""


@pytest.mark.parametrize("value", ON_SEVERAL)
def test_of_a_value_that_may_have_several_lines_nothing_is_shown(value: str) -> None:
    assert redact(f"r = [8]\nx.hf_token={value}\nr = [8]\n") == 'r = [8]\nx.hf_token="…"'


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
