"""What is needed to serve a run's model: its GGUF file with the options of the server, or the command for vLLM."""

from __future__ import annotations

import functools
import json
import os
import secrets
import shlex
import shutil
import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.locations import expand_home
from codex_tui.environment.llama_cpp import find_llama_cpp
from codex_tui.export.gguf_types import name_quant
from codex_tui.export.plan import ADAPTER, DEFAULT_QUANT, QUANTS
from codex_tui.export.records import has_files, read_record
from codex_tui.llama_cpp.chat_server import ChatServer
from codex_tui.llama_cpp.llama_server import LOOPBACK, ServerOptions
from codex_tui.runs.live import find_live_run
from codex_tui.runs.outcome import read_config
from codex_tui.workers.chat_models import FastModel
from training.contract import checkpoints
from training.contract.config import RunConfig, get_table
from training.contract.run_directory import RunDirectory

DEFAULT_PORT = 8080
MIN_CONTEXT = 4096
KEY_VARIABLE = "CODEX_TUI_API_KEY"


@dataclass(frozen=True)
class Serving:
    """A server that can be started. `system_prompt` is the run's, which a client has to send."""

    run: RunDirectory
    program: Path
    options: ServerOptions
    system_prompt: str | None

    @property
    def quant(self) -> str:
        return name_quant(self.options.model)


def list_exported(run: RunDirectory, out: str | None = None) -> dict[str, Path]:
    """List the GGUF files that were exported from `run` and are unchanged, by their type. The preferred one is first.
    `out` is the folder of an export elsewhere."""
    folders = [expand_home(out).absolute()] if out else [run.exports / "gguf", run.exports / "ollama"]
    found: dict[str, Path] = {}
    for folder in folders:
        record = read_record(folder)
        if record is None:
            continue
        for step in record.steps.values():
            names = [name for name in step.files if name.endswith(".gguf")]
            quant = step.facts.get("quant")
            if names and quant in QUANTS and quant != ADAPTER and has_files(folder, step):
                found.setdefault(quant, folder / names[0])
    return dict(sorted(found.items(), key=lambda item: item[0] != DEFAULT_QUANT))


def plan_serving(
    run: RunDirectory,
    *,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    quant: str | None = None,
    out: str | None = None,
    context: int | None = None,
) -> Serving:
    """Check everything before the server starts. Raises BadInput, CodexError."""
    exported = list_exported(run, out)
    wanted = quant.strip().lower() if quant else next(iter(exported), DEFAULT_QUANT)
    if wanted not in exported:
        raise _explain_missing(run, wanted, list(exported))
    is_local = is_loopback(host)
    check_port(host, port)
    program = find_llama_cpp().server
    if program is None:
        raise CodexError("llama-server is missing.", "Install it: codex-tui setup --export")
    config = read_config(run)
    options = ServerOptions(
        exported[wanted],
        host=host,
        port=port,
        alias=run.name,
        api_key="" if is_local else os.environ.get(KEY_VARIABLE) or secrets.token_urlsafe(24),
        context=context or _choose_context(config),
        use_gpu=find_live_run() is None,
        web_page=True,
    )
    form = config.find_row_form()
    return Serving(run, program.path, options, None if form.text else form.system_prompt)


def find_fast_model(run: RunDirectory) -> FastModel | None:
    """Find what can answer faster than the chat worker: the preferred exported file, where llama-server is there.

    Call this in a thread: it may read a large file. Raises CodexError.
    """
    exported, program = list_exported(run), find_llama_cpp().server
    if not exported or program is None:
        return None
    quant, model = next(iter(exported.items()))
    config = read_config(run)
    options = ServerOptions(model, context=_choose_context(config), use_gpu=find_live_run() is None)
    adapter = checkpoints.find_chat_adapter(run)
    is_older = adapter is not None and model.stat().st_mtime < (adapter / checkpoints.ADAPTER).stat().st_mtime
    start = functools.partial(ChatServer.start, program.path, options, config.find_row_form())
    return FastModel(quant.upper(), start, is_older)


def _choose_context(config: RunConfig) -> int:
    longest = get_table(config.profile, "model").get("max_seq_length")
    return max(MIN_CONTEXT, longest if isinstance(longest, int) else 0)


def _explain_missing(run: RunDirectory, wanted: str, exported: list[str]) -> BadInput:
    there = f"; it has {', '.join(exported)}" if exported else ""
    hints = [f"Export it: codex-tui export {run.name} --to gguf --quant {wanted}"]
    if shutil.which("vllm"):
        hints += [f"Or with vLLM: {command}" for command in list_vllm_commands(run)]
    return BadInput(f"{run.name} has no GGUF file of the type {wanted}{there}.", "\n".join(hints))


def list_vllm_commands(run: RunDirectory) -> list[str]:
    """List the commands with which vLLM serves the run: its merged model, and its adapter on the base model."""
    commands = []
    merged = run.exports / "merged"
    if (record := read_record(merged)) and all(has_files(merged, step) for step in record.steps.values()):
        commands.append(shlex.join(["vllm", "serve", str(merged), "--served-model-name", run.name]))
    adapter = checkpoints.find_chat_adapter(run)
    if adapter is not None and (config := _read_adapter_config(adapter)) and not config.get("modules_to_save"):
        base, rank = str(config.get("base_model_name_or_path")), str(config.get("r", 16))
        names = ["--enable-lora", "--lora-modules", f"{run.name}={adapter}", "--max-lora-rank", rank]
        commands.append(shlex.join(["vllm", "serve", base, *names]))
    return commands


def _read_adapter_config(adapter: Path) -> dict[str, Any]:
    try:
        config = json.loads((adapter / "adapter_config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`. Raises BadInput if it is no address of a machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        raise BadInput(
            f"--host {host} is no IP address.", "Use 127.0.0.1 for this machine alone, 0.0.0.0 for the network."
        ) from None


def check_port(host: str, port: int) -> None:
    """Raise BadInput if nobody can listen on `port`."""
    if not 1 <= port <= 65535:
        raise BadInput(f"--port {port}: give 1 to 65535.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise BadInput(f"Port {port} of {host} can't be used: {reason}.", "Choose another: --port N") from None


def format_curl(serving: Serving, url: str) -> str:
    """Return a command that asks the server, with the run's system message."""
    turns = [{"role": "user", "content": "Hello"}]
    if serving.system_prompt:
        turns.insert(0, {"role": "system", "content": serving.system_prompt})
    headers = ["-H", "Content-Type: application/json"]
    if serving.options.api_key:
        headers += ["-H", f"Authorization: Bearer {serving.options.api_key}"]
    body = json.dumps({"messages": turns}, ensure_ascii=False)
    return shlex.join(["curl", f"{url}/v1/chat/completions", *headers, "-d", body])
