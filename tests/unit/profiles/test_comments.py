"""A whole profile written as text is read back as it was."""

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from codex_tui.profiles.comments import EXAMPLES, format_example, format_with_comments
from codex_tui.profiles.problems import validate_field
from codex_tui.profiles.resolve import load_profile, resolve
from codex_tui.profiles.schema import FieldSchema, read_schema

NAMED = Path("mine.toml")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(0, 20) | st.integers(256, 1024) | st.integers(10**6, 2**31),
    "number": st.floats(0, 1, exclude_min=True) | st.floats(1, 100) | st.just(0),
    "string": TEXTS | st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
    "array": st.lists(TEXTS, max_size=4),
}


def values_of(schema: FieldSchema) -> st.SearchStrategy[Any]:
    def taken(value: Any) -> Any:
        try:
            return validate_field(schema.path, value)
        except ValueError:
            return EXAMPLES.get(schema.path, schema.default)

    kinds = [KINDS[kind] for kind in schema.kinds] + ([st.sampled_from(schema.choices)] if schema.choices else [])
    value = st.one_of(kinds).map(taken)
    return st.none() | value if schema.optional else value


PROFILES = st.fixed_dictionaries(
    {path: values_of(schema) for path, schema in read_schema().items() if path != "extends"}
)


@given(PROFILES)
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back(values: dict[str, Any]) -> None:
    text = format_with_comments(values, "a note\nof two lines")
    resolved = resolve(text, NAMED)
    assert resolved.values == {"extends": None, **values}
    assert format_with_comments(resolved.values, "a note\nof two lines") == text


def test_what_is_unset_is_there_as_an_example(tmp_path: Path) -> None:
    text = format_with_comments({"model.name": "demo:llama"})
    assert "\n# max_steps = 60\n" in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('# name = "first-try"', 'name = "first-try"'))
    assert load_profile(path).launch.name == "first-try"


def test_every_example_is_a_value_that_the_field_takes() -> None:
    assert {path for path, schema in read_schema().items() if schema.optional or schema.required} <= {*EXAMPLES}
    for path, schema in read_schema().items():
        assert format_example(schema).startswith(f"{schema.name} = ")
        validate_field(path, EXAMPLES.get(path, schema.default))
