"""Every way of writing a profile: what stands between the values is anything that TOML allows there."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import strategies as st

from codex_tui.base.toml_positions import BOM

WRITTEN = """\
# A profile by hand.
title = 'Mine'   # the title

  [ model ]   # indented, and
  name = "unsloth/Llama-3.2-3B-Instruct" # why not
\tmax_seq_length=2_048
  # dtype = "float16"

[lora]
target_modules = [  # the MLP too
  "q_proj", # first
  "v_proj",
]
dataset.x = 1

[training]
learning_rate = 2e-4
"""
SPACES = st.sampled_from(["", " ", "\t", "  "])
COMMENTS = st.sampled_from(["", " # why", "# é = [", ' # "', " #"])
VALUES = st.sampled_from(
    [
        "1",
        "2e-4",
        "true",
        '"a # b"',
        "'c = \"d'",
        '"""e\n[f]\n"""',
        "'''g'''''",
        "[1, [2], # h\n 3,]",
        '"\\"i]"',
        "-0.5",
    ]
)
NAMES = ["r", "lora_alpha", "bias", "use_rslora"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """The text of a table [lora], and the text of each of its values."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    written = {name: draw(VALUES) for name in names}
    quoted = draw(st.sampled_from(["{}", '"{}"', "'{}'"]))
    style = draw(st.sampled_from(["header", "dotted", "braces"]))
    nl = draw(st.sampled_from(["\n", "\r\n"]))
    text = draw(st.sampled_from(["", BOM, "# top\n"])) + draw(st.sampled_from(["", 'title = "t" # T\n', "\n\n"]))
    if style == "braces":
        written = {name: value for name, value in written.items() if "\n" not in value} or {"r": "1"}
        inside = ",".join(
            f"{draw(SPACES)}{quoted.format(n)}{draw(SPACES)}= {v}{draw(SPACES)}" for n, v in written.items()
        )
        text += f"lora ={draw(SPACES)}{{{inside}}}{draw(COMMENTS)}\n"
    else:
        text += f"{draw(SPACES)}[{draw(SPACES)}lora ]{draw(COMMENTS)}\n" if style == "header" else ""
        for name, value in written.items():
            key = quoted.format(name)
            key = key if style == "header" else f"lora{draw(SPACES)}.{key}"
            text += f"{draw(SPACES)}{key}{draw(SPACES)}={draw(SPACES)}{value}{draw(COMMENTS)}\n"
            text += draw(st.sampled_from(["", "\n", "# between\n"]))
    text += draw(st.sampled_from(["", "[training]\nseed = 1", "[training]\nseed = 1\n"]))
    return text.replace("\n", nl), {name: value.replace("\n", nl) for name, value in written.items()}


def parsed(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix(BOM))
