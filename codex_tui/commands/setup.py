"""The command `setup`: builds the training environment, or checks one that you name, and installs llama.cpp and
trackers. Other commands use it, too."""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, CodexError, EnvironmentMissing
from codex_tui.commands.options import add_python_option

if TYPE_CHECKING:
    from codex_tui.environment.build import Build
    from training.contract.trackers import Tracker

_VERIFY = "import unsloth, torch; from trl import SFTTrainer; print(torch.__version__, torch.cuda.is_available())"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "setup",
        help="build the training environment codex-train",
        description="Builds a virtual environment with every version pinned, with CUDA if the machine has an NVIDIA "
        "GPU. Takes less than a second if it exists already. `demo` and `train` run it when it is missing.",
    )
    build = parser.add_mutually_exclusive_group()
    build.add_argument("--cpu", action="store_true", help="install torch without CUDA, even if there is an NVIDIA GPU")
    build.add_argument("--cuda", action="store_true", help="install torch with CUDA, even if there is no NVIDIA GPU")
    add_python_option(parser, "check, instead of building one,")
    parser.add_argument("--verify", action="store_true", help="also import Unsloth in it (half a minute)")
    parser.add_argument(
        "--export",
        action="store_true",
        help="also install llama.cpp, for GGUF files and the server (100 MB to download), unless you have your own",
    )
    parser.add_argument(
        "--with",
        dest="trackers",
        metavar="TRACKER,TRACKER",
        help="also install these trackers, for a profile's [tracking]: tensorboard, trackio, wandb, mlflow",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_setup)


def run_setup(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean

    try:
        answer = _set_up(args)
    except CodexError as error:
        if not args.json:
            raise
        answer = {"ok": False, "message": error.message, "hint": error.hint}
        print(json.dumps(answer, indent=2))
        return error.exit_code
    if args.json:
        print(json.dumps(answer, indent=2))
    else:
        torch = answer["packages"]["torch"]["installed"]
        kind = f"{answer['build']} build" if answer["managed"] else "named by --python or the settings"
        print(f"Ready to train: {clean(answer['python'])} (Python {answer['python_version']}, torch {torch}; {kind})")
        for name, package in answer["packages"].items():
            if package["state"] == "other":
                print(f"! {name} is {clean(package['installed'])}; the tested version is {package['pinned']}")
        for name, tool in answer.get("llama_cpp", {}).items():
            print(f"{name}: {clean(tool['path'])} (from {tool['origin']})" if tool else f"{name}: none")
        for name, version in answer.get("trackers", {}).items():
            print(f"{name}: {clean(version) if version else 'none'}")
    return DONE


def _set_up(args: argparse.Namespace) -> dict[str, Any]:
    from codex_tui.environment import build as environment_build
    from codex_tui.environment import stack
    from codex_tui.environment.trackers import parse_trackers

    wanted = parse_trackers(args.trackers) if args.trackers is not None else []
    build: Build = "cpu" if args.cpu else "cuda" if args.cuda else "auto"
    python = ensure_with_progress(build)
    managed = environment_build.find_named_python() is None
    report = stack.describe(python)
    if args.verify:
        _verify(python)
    more = {"llama_cpp": _set_up_llama_cpp()} if args.export else {}
    if wanted:
        more["trackers"] = _set_up_trackers(python, wanted)
    return {
        "ok": True,
        "python": str(python),
        "python_version": report.python_version,
        "managed": managed,
        "build": "cuda" if report.torch_cuda else "cpu",
        "packages": {p.name: {"pinned": p.pinned, "installed": p.installed, "state": p.state} for p in report.packages},
        **more,
    }


def _set_up_llama_cpp() -> dict[str, Any]:
    from codex_tui.commands.progress import print_progress
    from codex_tui.environment.llama_cpp import describe_tools, ensure_llama_cpp

    with print_progress("llama.cpp: ") as report:
        return describe_tools(ensure_llama_cpp(report))


def _set_up_trackers(python: Path, wanted: list[Tracker]) -> dict[str, Any]:
    from codex_tui.commands.progress import print_progress
    from codex_tui.environment.trackers import ensure_trackers

    with print_progress("trackers: ") as report:
        return {str(name): version for name, version in ensure_trackers(python, wanted, report).items()}


def ensure_with_progress(build: Build = "auto") -> Path:
    """Return the trainer's interpreter. If it must be built first, print the progress on stderr."""
    from codex_tui.commands.progress import print_progress
    from codex_tui.environment import build as environment_build

    with print_progress("codex-train: ") as report:
        return environment_build.ensure(report, build=build)


def _verify(python: Path) -> None:
    from codex_tui.workers.process import trainer_environment

    command = [str(python), "-c", _VERIFY]
    with tempfile.TemporaryDirectory() as folder:  # Unsloth may write a cache where it stands
        tried = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=trainer_environment(), check=False
        )
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise EnvironmentMissing(f"{python} cannot import the training stack: {last}", "codex-tui doctor")
