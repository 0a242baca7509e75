"""The command `doctor`: checks this machine, and says in a line each what to fix."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, NO_ENVIRONMENT, CodexError
from codex_tui.commands.doctor_finding import Finding, print_findings
from codex_tui.commands.options import add_python_option

if TYPE_CHECKING:
    from codex_tui.environment.stack import EnvironmentReport
    from codex_tui.machine.facts import GpuFacts, Terminal

PINNED_TRIED_MIB, PINNED_BLOCK_MIB = 2048, 16
PINNED_WANTED_MIB = 512  # "unsloth" checkpointing of a 3B model with rows of 2,048 tokens needs this much


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="check this machine and say what to fix",
        description="Checks the GPU, the training environment, the disk and the terminal. Exits with 3 if nothing can "
        "train, with 1 if the folders of the app can't be written.",
    )
    add_python_option(parser, "check")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_doctor)


def run_doctor(args: argparse.Namespace) -> int:
    from codex_tui.commands.doctor_notices import notice_findings
    from codex_tui.commands.doctor_power import power_findings
    from codex_tui.commands.doctor_trackers import tracker_findings
    from codex_tui.environment.llama_cpp import describe_tools, find_llama_cpp
    from codex_tui.machine import facts
    from training.memory.wsl import wsl

    report, trainer = examine_trainer()
    gpu = facts.gpu_facts()
    kind = wsl()
    unwritable = facts.unwritable()
    free = facts.disk_free_gib()
    token = facts.hub_token()
    terminal = facts.terminal()
    findings = [
        *gpu_findings(gpu, report),
        *pinned_findings(gpu),
        *wsl_findings(kind, facts.wsl_idle_timeouts() if kind else {}),
        *power_findings(kind),
        *trainer,
        *llama_cpp_findings(),
        *tracker_findings(report),
        *notice_findings(),
        *home_findings(unwritable),
        *other_findings(free, token, terminal, facts.killed_at_logout()),
    ]
    ready = all(finding.state != "bad" for finding in trainer)
    ok = ready and not unwritable
    if args.json:
        answer = {
            "ok": ok,
            "findings": [asdict(finding) for finding in findings],
            "gpu": None if isinstance(gpu, str) else asdict(gpu),
            "wsl": kind,
            "python": str(report.python) if report else None,
            "python_version": report.python_version if report else None,
            "torch_cuda": report.torch_cuda if report else None,
            "packages": {p.name: asdict(p) | {"state": p.state} for p in report.packages} if report else {},
            "llama_cpp": describe_tools(find_llama_cpp()),
            "disk_free_gib": round(free, 1),
            "hub_token": token is not None,
            "terminal": asdict(terminal) if terminal else None,
        }
        print(json.dumps(answer, indent=2))
    else:
        print_findings(findings)
    return DONE if ok else FAILED if ready else NO_ENVIRONMENT


def examine_trainer() -> tuple[EnvironmentReport | None, list[Finding]]:
    """Examine the interpreter that would train. A finding with the state "bad" means that it can't."""
    from codex_tui.base import locations
    from codex_tui.environment import build, stack

    try:
        python = build.find_named_python()
        managed = python is None
        if managed and not build.find_managed_python():
            state = "is damaged, or of another version or build" if build.read_stamp() else "is not built"
            place = locations.managed_environment()
            return None, [Finding("trainer", "bad", f"codex-train {state}: {place}", "codex-tui setup")]
        report = stack.describe(python or build.managed_python())
    except CodexError as error:
        advice = " ".join(error.hint.split()) or "codex-tui setup"
        return None, [Finding("trainer", "bad", error.message, advice)]
    findings = [Finding("trainer", "ok", f"{report.python} (Python {report.python_version})")]
    if report.version_problem:
        findings = [Finding("trainer", "bad", f"{report.python} is {report.version_problem}", "codex-tui setup")]
    remedy = "codex-tui setup" if managed else "pip install {0}=={1} in it"
    for package in report.stack:
        advice = remedy.format(package.name, package.pinned)
        if package.installed is None:
            finding = Finding(package.name, "bad", "missing", advice)
        elif package.state == "other":
            text = f"{package.installed}, not the tested {package.pinned}"
            finding = Finding(package.name, "warning", text, f"if training fails: {advice}")
        else:
            finding = Finding(package.name, "ok", package.installed)
        findings.append(finding)
    return report, [*findings, _further_packages(report)]


def _further_packages(report: EnvironmentReport) -> Finding:
    further = [package for package in report.packages if not package.needed]
    missing = [package.name for package in further if package.state == "missing"]
    other = sum(package.state == "other" for package in further)
    text = f"{len(further) - len(missing) - other} at the pinned versions"
    if other:
        text += f", {other} at other versions"
    if missing:
        text += f", missing: {', '.join(missing)}"
    return Finding("other packages", "warning" if missing else "ok", text)


def llama_cpp_findings() -> Iterator[Finding]:
    """Examine the tools that write and serve GGUF files. Only an export needs them."""
    from codex_tui.environment.llama_cpp import NEEDED, describe_tools, find_llama_cpp

    try:
        llama_cpp = find_llama_cpp()
    except CodexError as error:
        yield Finding("llama.cpp", "warning", error.message, error.hint)
        return
    if len(llama_cpp.missing) == len(NEEDED):
        yield Finding("llama.cpp", "ok", "none", "only GGUF files and `serve` need it: codex-tui setup --export")
        return
    for name, tool in describe_tools(llama_cpp).items():
        if tool:
            details = ", ".join(filter(None, (f"from {tool['origin']}", tool["version"])))
            yield Finding(name, "ok", f"{tool['path']} ({details})")
        elif name in NEEDED:
            yield Finding(name, "warning", "missing", "codex-tui setup --export")
        else:
            yield Finding(name, "ok", "missing", "only adapters in GGUF need it")


def gpu_findings(gpu: GpuFacts | str, report: EnvironmentReport | None) -> Iterator[Finding]:
    if isinstance(gpu, str):
        yield Finding("GPU", "warning", f"none: {gpu}", "the demo trains on the CPU; a 3B model needs a GPU")
        return
    more = f", the first of {gpu.count}" if gpu.count > 1 else ""
    yield Finding("GPU", "ok", f"{gpu.name}{more}")
    yield Finding("driver", "ok" if gpu.driver else "warning", gpu.driver or "unknown: NVML does not report it")
    yield _cuda(gpu, report)
    if gpu.total_mib is None or gpu.free_mib is None:
        yield Finding("VRAM", "warning", "unknown: NVML does not report it")
    else:
        busy = gpu.free_mib < gpu.total_mib * 0.8
        advice = "close the programs that use the card (nvidia-smi lists them)" if busy else ""
        sizes = f"{gpu.free_mib:,} MiB free of {gpu.total_mib:,}"
        yield Finding("VRAM", "warning" if busy else "ok", sizes, advice)
    if gpu.capability:
        yield _capability(gpu.capability)


def pinned_findings(gpu: GpuFacts | str) -> Iterator[Finding]:
    """Try how much host memory can be page-locked. Checkpointing "unsloth" and offloading use it."""
    if isinstance(gpu, str):
        return
    from codex_tui.runs.live import find_live_run
    from training.memory.pinned_memory import PinnedUnknown, lockable_mib

    topic = "page-locked memory"
    if run := find_live_run():
        yield Finding(topic, "ok", f"not tested while {run.name} trains, because the test needs GPU memory")
        return
    try:
        mib = lockable_mib(PINNED_TRIED_MIB, PINNED_BLOCK_MIB)
    except PinnedUnknown as unknown:
        yield Finding(topic, "warning", f"can't be tested: {unknown}")
        return
    if mib >= PINNED_TRIED_MIB:
        yield Finding(topic, "ok", f"at least {mib:,.0f} MiB")
    elif mib >= PINNED_WANTED_MIB:
        yield Finding(topic, "ok", f"{mib:,.0f} MiB (WSL2 allows 1 to 2 GB)")
    else:
        advice = "a run uses what there is, with slower steps. More RAM for WSL2: .wslconfig, [wsl2] memory="
        yield Finding(topic, "warning", f"{mib:,.0f} MiB", advice)


def _cuda(gpu: GpuFacts, report: EnvironmentReport | None) -> Finding:
    if gpu.cuda is None:
        return Finding("CUDA", "warning", "unknown: NVML does not report it")
    text = f"the driver supports {gpu.cuda[0]}.{gpu.cuda[1]}"
    if report is None:
        return Finding("CUDA", "ok", text)
    if report.torch_cuda is None:
        return Finding("CUDA", "warning", f"{text}, torch is a CPU build", "codex-tui setup --cuda")
    text += f", torch is built for {report.torch_cuda}"
    if gpu.cuda[0] < int(report.torch_cuda.partition(".")[0]):  # within a major version they work together
        return Finding("CUDA", "bad", text, "update the NVIDIA driver: torch will not find the GPU")
    return Finding("CUDA", "ok", text)


def _capability(capability: tuple[int, int]) -> Finding:
    text = f"{capability[0]}.{capability[1]}"
    if capability < (7, 5):
        return Finding("capability", "bad", text, "too old: this torch needs 7.5 (Turing) or newer")
    if capability < (8, 0):
        return Finding("capability", "ok", f"{text}: no bfloat16", 'dtype = "auto" in a profile takes float16')
    return Finding("capability", "ok", f"{text}: bfloat16")


def wsl_findings(version: int, timeouts: dict[str, str]) -> Iterator[Finding]:
    from codex_tui.machine.facts import stays_up_without_terminal
    from training.memory.nvml import WSL_NVML

    if not version:
        yield Finding("WSL2", "ok", "no: native Linux")
        return
    if version == 1:
        yield Finding("WSL2", "bad", "no: this is WSL1, which has no GPU", "in Windows: wsl --set-version DISTRO 2")
        return
    there = WSL_NVML.exists()
    yield Finding(
        "WSL2",
        "ok" if there else "warning",
        f"yes; libnvidia-ml {'is' if there else 'is not'} at {WSL_NVML}",
        "" if there else "install the NVIDIA driver in Windows, none in Linux",
    )
    yield Finding(
        "WSL2 host memory",
        "warning",
        "page-locked memory is limited to 1 to 2 GB; beyond that, errors look like out-of-memory on an empty card",
        "if that happens, set gradient_checkpointing = true instead of unsloth",
    )
    yield Finding(
        "WSL2 spilling",
        "warning",
        "a full card silently spills into shared memory, which is many times slower",
        "NVIDIA Control Panel, CUDA Sysmem Fallback Policy: Prefer No Sysmem Fallback",
    )
    forever = stays_up_without_terminal(timeouts)
    yield Finding(
        "WSL2 shutdown",
        "ok" if forever else "warning",
        "stays up without a terminal"
        if forever
        else "WSL2 shuts down, and ends the run, when the last terminal closes",
        ""
        if forever
        else "keep one open; or in Windows, %UserProfile%\\.wslconfig: [general] instanceIdleTimeout=-1 and [wsl2] "
        "vmIdleTimeout=-1, then wsl --shutdown",
    )


def home_findings(unwritable: list[Path]) -> Iterator[Finding]:
    for folder in unwritable:
        yield Finding("folder", "bad", f"{folder} can't be written", "set CODEX_TUI_HOME to another folder")


def other_findings(
    free: float, token: str | None, terminal: Terminal | None, killed_at_logout: bool
) -> Iterator[Finding]:
    if killed_at_logout:
        yield Finding("logout", "warning", "systemd ends a run when you log out", "run once: loginctl enable-linger")
    else:
        yield Finding("logout", "ok", "a run continues when you log out")
    low = free < 5
    advice = "a run of a 3B model keeps up to 2 GiB of checkpoints" if low else ""
    yield Finding("disk", "warning" if low else "ok", f"{free:,.1f} GiB free for runs", advice)
    if token:
        yield Finding("Hub token", "ok", f"present, {token}")
    else:
        yield Finding("Hub token", "ok", "none", "only gated models need one: set HF_TOKEN, or `hf auth login`")
    if terminal is None:
        yield Finding("terminal", "warning", "none attached", "commands work without one; the app needs one")
        return
    colours = {0: "no colours", 2**24: "16 million colours"}.get(terminal.colours, f"{terminal.colours} colours")
    small = 0 < terminal.columns < 80 or 0 < terminal.rows < 24  # 0: a terminal that does not know
    size = f"{terminal.columns}x{terminal.rows}" if terminal.columns else "size unknown"
    text = f"{size}, {colours}"
    yield Finding("terminal", "warning" if small else "ok", text, "make it 80x24 or larger" if small else "")
