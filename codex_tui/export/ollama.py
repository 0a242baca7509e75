"""Writes a Modelfile for a GGUF file, and gives both to Ollama where it is installed."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress
from codex_tui.environment.llama_cpp import LlamaCpp
from codex_tui.export.go_template import Wrapping, find_wrapping, make_sample_chats
from codex_tui.export.plan import ExportPlan
from codex_tui.export.records import ExportRecord
from codex_tui.export.steps import Facts, Step
from codex_tui.llama_cpp.llama_server import ServerOptions, start_server
from training.contract.config import RowForm

MODELFILE = "Modelfile"
NAME = "modelfile"
NO_TEMPLATE = (
    "The Modelfile has no TEMPLATE: the model's chat template does more than to put texts around messages, and nothing "
    "would prove a translation. Ollama takes one of its own if it recognises the model's; compare its answers, or use "
    "`codex-tui serve`."
)


async def write_modelfile(llama_cpp: LlamaCpp, model: Path, form: RowForm, folder: Path, report: OnProgress) -> Facts:
    """Write the Modelfile of the GGUF file `model`, which is or will be beside it. `form` is that of the run's rows.
    The server renders the model's own chat template, with which the one for Ollama is compared. Raises CodexError."""
    assert llama_cpp.server is not None
    wrapping, chats = None, make_sample_chats(form.system_prompt)
    async with start_server(llama_cpp.server.path, ServerOptions(model, context=512), report) as server:
        end = await server.find_end_token()
        if not form.text:
            wrapping = await find_wrapping(server.render_chat, chats)
    stops = list_stops(end, wrapping)
    text = format_modelfile(model.name, form, wrapping, stops)
    (folder / MODELFILE).write_text(text, encoding="utf-8")
    return {
        "template": wrapping is not None,
        "is_text": form.text,
        "compared_chats": len(chats) if wrapping else 0,
        "stop": stops,
    }


def list_stops(end: str, wrapping: Wrapping | None) -> list[str]:
    """List the texts at which an answer ends: the model's end token, and what the template puts after an answer."""
    after_answer = wrapping.after_answer.strip() if wrapping else ""
    return list(dict.fromkeys(filter(None, (end, after_answer))))


def format_modelfile(model: str, form: RowForm, wrapping: Wrapping | None, stops: Sequence[str]) -> str:
    """Return the text of a Modelfile. Raises CodexError if the system message can't be written in one."""
    lines = [f"FROM ./{model}"]
    if wrapping:
        lines.append(f'TEMPLATE """{wrapping.format_go()}"""')
    elif form.text:
        lines.append('TEMPLATE "{{ .Prompt }}"')  # the run learned plain text, which the model continues
    if form.system_prompt and not form.text:
        if '"""' in form.system_prompt or form.system_prompt.endswith('"'):
            raise CodexError(
                "The run's system message can't be written in a Modelfile, which has no way to quote its marks.",
                "Export with --to gguf, and write the Modelfile by hand.",
            )
        lines.append(f'SYSTEM """{form.system_prompt}"""')
    lines.append("PARAMETER temperature 0")  # the answers that were judged and proven
    lines += [f"PARAMETER stop {json.dumps(stop, ensure_ascii=False)}" for stop in stops]
    return "\n".join(lines) + "\n"


def make_step(plan: ExportPlan, model: Step, quant_file: str, llama_cpp: LlamaCpp) -> Step:
    """Make the step that writes the Modelfile of the file `quant_file`, which the step `model` has written."""

    async def work(folder: Path, report: OnProgress) -> Facts:
        return await write_modelfile(
            llama_cpp, model.find_folder(plan.out) / quant_file, plan.side.form, folder, report
        )

    return Step(
        name=NAME,
        depends_on=[quant_file, plan.side.form.system_prompt, plan.side.form.text],
        work=work,
        needs=(model.name,),
    )


@dataclass(frozen=True)
class OllamaCommand:
    """The command that gives an export to Ollama. `program` is None where Ollama is not on PATH."""

    program: str | None
    name: str
    modelfile: Path

    @property
    def arguments(self) -> list[str]:
        return ["create", self.name, "-f", str(self.modelfile)]

    def __str__(self) -> str:
        return shlex.join(["ollama", *self.arguments])

    def run(self) -> None:
        """Give the model to Ollama, which prints its own progress on stderr. Raises CodexError."""
        assert self.program is not None
        try:
            done = subprocess.run(
                [self.program, *self.arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
            )
        except OSError as error:
            raise CodexError(
                f"{self.program} can't be started: {error.strerror}.", f"Run it yourself: {self}"
            ) from None
        if done.returncode:
            raise CodexError(
                f"Ollama did not take the model: it ended with exit code {done.returncode}.",
                f"Is its server running (ollama serve)? The files are there. Run it again: {self}",
            )


def make_command(run_name: str, folder: Path) -> OllamaCommand:
    """Make the command for the export in `folder`. Ollama's names have few characters."""
    name = re.sub(r"[^a-z0-9._-]+", "-", run_name.lower()).strip("-._") or "model"
    return OllamaCommand(shutil.which("ollama"), name, folder / MODELFILE)


def describe_modelfile(record: ExportRecord, command: OllamaCommand) -> list[str]:
    """Say what the Modelfile has, and how the model gets into Ollama."""
    facts = record.steps[NAME].facts
    if facts["template"]:
        told = f"The TEMPLATE for Ollama renders {facts['compared_chats']} sample chats as the model's own template."
    else:
        told = "" if facts["is_text"] else NO_TEMPLATE
    if command.program:
        return [told, f"Ollama has it: ollama run {command.name}"]
    return [told, f"Ollama is not on PATH. Where it is: {command}"]
