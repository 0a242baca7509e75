"""The Modelfile, and the call of Ollama, with a script in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex_tui.base.errors import CodexError
from codex_tui.export.go_template import Wrapping
from codex_tui.export.ollama import format_modelfile, list_stops, make_command
from training.contract.config import RowForm

CHATML = Wrapping(
    opening="",
    before_system="<|im_start|>system\n",
    after_system="<|im_end|>\n",
    before_user="<|im_start|>user\n",
    after_user="<|im_end|>\n<|im_start|>assistant\n",
    after_answer="<|im_end|>\n",
)


def test_a_modelfile_has_the_runs_system_message_and_end_tokens() -> None:
    stops = list_stops("<|endoftext|>", CHATML)
    text = format_modelfile("a-Q8_0.gguf", RowForm(system_prompt='Say "hi".\nBe brief.'), CHATML, stops)
    assert text.startswith('FROM ./a-Q8_0.gguf\nTEMPLATE """{{- range $i, $m := .Messages }}\n')
    assert text.endswith(
        '{{- end }}"""\nSYSTEM """Say "hi".\nBe brief."""\n'
        'PARAMETER temperature 0\nPARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|im_end|>"\n'
    )


def test_without_a_proven_template_there_is_none() -> None:
    assert (
        format_modelfile("a.gguf", RowForm(), None, ["</s>"])
        == 'FROM ./a.gguf\nPARAMETER temperature 0\nPARAMETER stop "</s>"\n'
    )


def test_a_model_of_plain_text_continues_the_prompt() -> None:
    text = format_modelfile("a.gguf", RowForm(text=True, system_prompt="unused"), None, [])
    assert text == 'FROM ./a.gguf\nTEMPLATE "{{ .Prompt }}"\nPARAMETER temperature 0\n'


@pytest.mark.parametrize("system", ['Three """ marks', 'It ends with "'])
def test_a_system_message_that_can_not_be_quoted_is_refused(system: str) -> None:
    with pytest.raises(CodexError, match="can't be written in a Modelfile"):
        format_modelfile("a.gguf", RowForm(system_prompt=system), None, [])


@pytest.fixture
def ollama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script that writes its arguments, and fails where the name is "fails"."""
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/called\n[ "$2" != fails ]\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program


def test_ollama_is_called_where_it_is(ollama: Path, tmp_path: Path) -> None:
    command = make_command("My Guide (2)", tmp_path)
    assert command.program == str(ollama)
    command.run()
    assert (tmp_path / "called").read_text().strip() == f"create my-guide-2 -f {tmp_path}/Modelfile"
    with pytest.raises(CodexError, match="ended with exit code 1") as caught:
        make_command("fails", tmp_path).run()
    assert f"ollama create fails -f {tmp_path}/Modelfile" in caught.value.hint


def test_the_command_is_shown_where_ollama_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = make_command("__", tmp_path / "a b")
    assert command.program is None
    assert str(command) == f"ollama create model -f '{tmp_path}/a b/Modelfile'"
