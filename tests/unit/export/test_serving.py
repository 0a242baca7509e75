"""What is checked before a server starts, and what is said without one."""

from __future__ import annotations

import json
import os
import shlex
import socket
from pathlib import Path

import pytest
from support.config_file import write_config

from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.export import serving
from codex_tui.export.records import ExportRecord, FileRecord, StepRecord
from codex_tui.export.serving import (
    check_port,
    format_curl,
    is_loopback,
    list_exported,
    list_vllm_commands,
    plan_serving,
)
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run with an adapter, on a machine with llama-server."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    run = RunDirectory(tmp_path / "home" / "data" / "runs" / "guide")
    run.create()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base", "r": 8}')
    (run.adapter / "adapter_model.safetensors").touch()
    write_config(run, {"profile": {"model": {"max_seq_length": 8192}}, "row_form": {"system_prompt": "It's brief."}})
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("llama-server", "vllm"):
        (tools / name).write_text("#!/bin/sh\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return run


def export(folder: Path, *quants: str) -> None:
    """Write the files and the record of an export."""
    folder.mkdir(parents=True)
    record = ExportRecord(run="guide", to="gguf")
    for quant in quants:
        path = folder / f"guide-{quant.upper()}.gguf"
        path.write_text(quant)
        facts = path.stat()
        file = FileRecord(size=facts.st_size, mtime_ns=facts.st_mtime_ns, sha256="")
        record.steps[f"gguf-{quant}"] = StepRecord(key="", files={path.name: file}, facts={"quant": quant})
    record.write(folder)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_exported_files_are_found_and_changed_ones_are_not(run: RunDirectory, tmp_path: Path) -> None:
    assert list_exported(run) == {}
    export(run.exports / "gguf", "q8_0", "q4_k_m", "f16")
    export(run.exports / "ollama", "q6_k", "q8_0")
    assert list(list_exported(run)) == ["q4_k_m", "q8_0", "f16", "q6_k"]  # the preferred one first
    assert list_exported(run)["q8_0"] == run.exports / "gguf" / "guide-Q8_0.gguf"
    (run.exports / "gguf" / "guide-Q4_K_M.gguf").write_text("other")
    (run.exports / "gguf" / "guide-F16.gguf").unlink()
    assert list(list_exported(run)) == ["q8_0", "q6_k"]
    export(tmp_path / "elsewhere", "f16")
    assert list(list_exported(run, str(tmp_path / "elsewhere"))) == ["f16"]


def test_a_server_for_this_machine_needs_no_key(run: RunDirectory) -> None:
    export(run.exports / "gguf", "q8_0", "f16")
    planned = plan_serving(run, port=free_port())
    assert (planned.quant, planned.options.api_key, planned.options.alias) == ("q8_0", "", "guide")
    assert planned.options.context == 8192
    assert planned.options.use_gpu
    assert plan_serving(run, port=free_port(), quant="F16", context=512).options.context == 512
    command = shlex.split(format_curl(planned, "http://127.0.0.1:1"))
    assert command[:4] == ["curl", "http://127.0.0.1:1/v1/chat/completions", "-H", "Content-Type: application/json"]
    assert [turn["role"] for turn in json.loads(command[-1])["messages"]] == ["system", "user"]


def test_a_server_for_the_network_has_a_key_that_is_no_argument(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(run.exports / "gguf", "q8_0")
    one, two = (plan_serving(run, host="0.0.0.0", port=free_port()) for _ in range(2))
    assert len(one.options.api_key) >= 32
    assert one.options.api_key != two.options.api_key
    arguments = one.options.make_arguments(1)
    assert one.options.api_key not in arguments
    assert arguments[arguments.index("--temp") + 1] == "0"
    assert f"Authorization: Bearer {one.options.api_key}" in shlex.split(format_curl(one, "http://a"))
    monkeypatch.setenv(serving.KEY_VARIABLE, "mine")
    assert plan_serving(run, host="0.0.0.0", port=free_port()).options.api_key == "mine"


def test_the_card_is_left_to_a_run_that_trains(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    export(run.exports / "gguf", "q8_0")
    assert "--device" not in plan_serving(run, port=free_port()).options.make_arguments(1)
    monkeypatch.setattr(serving, "find_live_run", lambda: run)
    arguments = plan_serving(run, port=free_port()).options.make_arguments(1)
    assert arguments[arguments.index("--device") + 1] == "none"


def test_without_an_export_the_command_is_named(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "guide"]) == 2
    told = capsys.readouterr().err
    assert "guide has no GGUF file of the type q4_k_m." in told
    assert "codex-tui export guide --to gguf --quant q4_k_m" in told
    assert f"vllm serve owner/base --enable-lora --lora-modules guide={run.adapter} --max-lora-rank 8" in told
    export(run.exports / "gguf", "q8_0")
    assert main(["serve", "guide", "--quant", "f16"]) == 2
    assert "no GGUF file of the type f16; it has q8_0" in capsys.readouterr().err


def test_vllm_serves_the_merged_model_and_adapters_without_whole_modules(run: RunDirectory) -> None:
    (run.exports / "merged").mkdir(parents=True)
    ExportRecord(run="guide", to="merged").write(run.exports / "merged")
    (run.adapter / "adapter_config.json").write_text('{"modules_to_save": ["lm_head"]}')
    assert list_vllm_commands(run) == [f"vllm serve {run.exports / 'merged'} --served-model-name guide"]


@pytest.mark.parametrize(
    ("host", "expected"), [("localhost", True), ("127.8.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)]
)
def test_loopback_is_recognised(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_wrong_address_or_port_is_refused() -> None:
    with pytest.raises(BadInput, match=r"--host example\.org is no IP address"):
        is_loopback("example.org")
    with pytest.raises(BadInput, match="--port 70000: give 1 to 65535"):
        check_port("127.0.0.1", 70000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match=r"Port \d+ of 127\.0\.0\.1 can't be used: Address already in use"):
            check_port("127.0.0.1", taken.getsockname()[1])
