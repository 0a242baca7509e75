"""The command `remote`: the machines that runs can be sent to over ssh."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, NO_ENVIRONMENT, BadInput, CodexError
from codex_tui.commands.options import add_group

if TYPE_CHECKING:
    from codex_tui.commands.doctor_finding import Finding
    from codex_tui.engines.ssh.remote.machine import Machine
    from codex_tui.engines.ssh.remote.remotes import Remote

DEFAULT_ROOT = "~/codex-tui"
NAME_HELP = "the name of a remote; list them with: codex-tui remote list"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "remote",
        help="add, set up and check the machines that runs can be sent to over ssh",
        description="A remote is a Linux machine that you can log in to by ssh without a password. Runs sent there are "
        "watched, stopped, parked and resumed from here. Nothing listens over there, and no password is ever asked.",
        epilog="Example: codex-tui remote add box me@203.0.113.7, then codex-tui remote setup box, then "
        "codex-tui train PROFILE --on box",
    )
    actions = add_group(parser)
    added = _add_action(actions, "add", _run_add, "log in, look at the machine and keep it under a name")
    added.add_argument("name", metavar="NAME", help="a new name, such as box")
    added.add_argument(
        "host", metavar="HOST", help="user@host, ssh://user@host:port, or a Host of ~/.ssh/config, which ssh reads"
    )
    added.add_argument(
        "--root",
        metavar="FOLDER",
        default=DEFAULT_ROOT,
        help=f"the folder over there for the app, its runs and its environments (default: {DEFAULT_ROOT})",
    )
    added.add_argument(
        "--python",
        dest="remote_python",
        metavar="PATH",
        default="",
        help="train with this interpreter over there instead of building an environment",
    )
    _add_action(actions, "list", _run_list, "list the remotes")
    removed = _add_action(actions, "remove", _run_remove, "forget a remote; its files stay over there")
    removed.add_argument("name", metavar="REMOTE", help=NAME_HELP)
    removed.add_argument("--force", action="store_true", help="even if a run may still train there")
    ready = _add_action(actions, "setup", _run_setup, "install the app and its training environment over there")
    ready.add_argument("name", metavar="REMOTE", help=NAME_HELP)
    build = ready.add_mutually_exclusive_group()
    build.add_argument("--cpu", action="store_true", help="install torch without CUDA, even if there is an NVIDIA GPU")
    build.add_argument("--cuda", action="store_true", help="install torch with CUDA, even if there is no NVIDIA GPU")
    ready.add_argument("--verify", action="store_true", help="also import Unsloth in it (half a minute)")
    examined = _add_action(actions, "doctor", _run_doctor, "check the connection and the machine, and say what to fix")
    examined.add_argument("name", metavar="REMOTE", help=NAME_HELP)


def _add_action(actions: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=help, description=f"{help[:1].upper()}{help[1:]}.")
    action.add_argument("--json", action="store_true", help="print JSON, for scripts")

    def run_and_report(args: argparse.Namespace) -> int:
        try:
            return int(run(args))
        except CodexError as error:
            if not args.json:
                raise
            print(json.dumps({"ok": False, "message": error.message, "hint": error.hint}, indent=2))
            return error.exit_code

    action.set_defaults(run=run_and_report)
    return action


def _run_add(args: argparse.Namespace) -> int:
    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.ssh.remote import setup

    _check_path(args.remote_python)
    with print_progress() as report:
        report(Progress(f"connecting to {args.name}"))
        remote, machine = setup.add(args.name, args.host, args.root, args.remote_python)
    if args.json:
        print(json.dumps({"ok": True, **remote._asdict(), "machine": machine._asdict()}, indent=2))
    else:
        print(clean(f"Added {remote.name}: {_describe(machine)}, {machine.root}"))
        print(f"Next: codex-tui remote setup {remote.name}")
    return DONE


def _check_path(python: str) -> None:
    from codex_tui.engines.ssh.remote.remotes import is_path

    if python and not is_path(python):
        raise BadInput(f"{python!r} is no path over there.", "Name the interpreter with a path that begins with /.")


def _describe(machine: Machine) -> str:
    parts = (f"{machine.system} {machine.architecture}", machine.gpu or "no NVIDIA GPU", _describe_room(machine))
    return ", ".join(filter(None, parts))


def _describe_room(machine: Machine) -> str:
    return "" if machine.free_mib is None else f"{machine.free_mib / 1024:,.1f} GiB free"


def _run_list(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.engines.ssh.remote.remotes import read_remotes

    remotes = list(read_remotes().values())
    if args.json:
        print(json.dumps([remote._asdict() for remote in remotes], indent=2))
        return DONE
    if not remotes:
        print("There are no remotes. Add one: codex-tui remote add NAME user@host")
        return DONE
    rows = [("NAME", "HOST", "FOLDER", "PYTHON"), *((*remote[:3], remote.python or "its own") for remote in remotes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(clean("  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()))
    return DONE


def _run_remove(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.engines.ssh.remote.remotes import find_remote, remove_remote

    remote = find_remote(args.name)
    if not args.force and (run := _find_live_run(remote)):
        raise BadInput(
            f"The run {run} may still train on {remote.name}.",
            f"Stop it first: codex-tui stop {run}. Or remove the remote anyway: --force",
        )
    remove_remote(remote.name)
    if args.json:
        print(json.dumps({"ok": True, **remote._asdict()}, indent=2))
    else:
        print(clean(f"Removed {remote.name}. Its files stay over there: {remote.host}, {remote.root}"))
    return DONE


def _find_live_run(remote: Remote) -> str:
    """The name of a run that may train on `remote`; "" if there is none."""
    from codex_tui.runs.library import list_run_directories

    for run in list_run_directories():
        record = run.read_engine()
        if record and record.engine == "ssh" and record.host == remote.name and run.is_live():
            return run.name
    return ""


def _run_setup(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.ssh.remote import setup
    from codex_tui.engines.ssh.remote.remotes import find_remote

    remote = find_remote(args.name)
    options = [f"--{name}" for name in ("cpu", "cuda", "verify") if getattr(args, name)]
    with print_progress(f"{remote.name}: ") as report:
        answer = setup.set_up(remote, report, options)
    if args.json:
        print(json.dumps(answer, indent=2))
    else:
        torch = answer["packages"]["torch"]["installed"]
        kind = f"{answer['build']} build" if answer["managed"] else "named by remote add --python"
        print(clean(f"{remote.name} is ready to train: {answer['python']} (torch {torch}; {kind})"))
        print(f"Next: codex-tui train PROFILE --on {remote.name}")
    return DONE


def _run_doctor(args: argparse.Namespace) -> int:
    from codex_tui.base.progress import Progress
    from codex_tui.commands.doctor_finding import print_findings
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.ssh.remote.remotes import find_remote

    remote = find_remote(args.name)
    with print_progress() as report:
        report(Progress(f"looking at {remote.name}"))
        code, findings, there = _examine(remote)
    if args.json:
        answer = {"ok": code == DONE, "findings": [asdict(finding) for finding in findings], "machine": there}
        print(json.dumps(answer, indent=2))
    else:
        print_findings(findings)
    return code


def _examine(remote: Remote) -> tuple[int, list[Finding], dict[str, Any]]:
    """Return the exit code, the findings, and the facts of the machine."""
    import msgspec

    from codex_tui.commands.doctor_finding import Finding
    from codex_tui.engines.ssh.link.failures import Unreachable
    from codex_tui.engines.ssh.remote.advice import advise_from_here
    from codex_tui.engines.ssh.remote.app import RemoteApp
    from codex_tui.engines.ssh.remote.machine import examine

    app = RemoteApp(remote)
    try:
        machine = examine(app.connection, remote.root)
        started = time.monotonic()
        app.connection.run(["true"])
        findings = [*_machine_findings(remote, machine, time.monotonic() - started)]
        if any(finding.state == "bad" for finding in findings):
            return FAILED, findings, machine._asdict()
        advice = f"codex-tui remote setup {remote.name}"
        if not app.is_installed():
            findings.append(Finding("app", "bad", "this version is not installed over there", advice))
            return NO_ENVIRONMENT, findings, machine._asdict()
        findings.append(Finding("app", "ok", app.folder))
        answer = app.call("doctor", "--json", reports_failure=True)
    except Unreachable as unreachable:
        return FAILED, [Finding("connection", "bad", unreachable.reason, unreachable.hint)], {}
    there = msgspec.convert(answer["findings"], list[Finding])
    for finding in there:
        if finding.topic != "terminal":  # there is none over there
            advised = advise_from_here(finding.advice, remote)
            findings.append(Finding(finding.topic, finding.state, finding.found, advised))
    trains = not any(finding.state == "bad" for finding in there)
    return DONE if answer["ok"] and trains else FAILED if trains else NO_ENVIRONMENT, findings, machine._asdict()


def _machine_findings(remote: Remote, machine: Machine, seconds: float) -> Iterator[Finding]:
    from codex_tui.commands.doctor_finding import Finding

    yield Finding("connection", "ok", f"{remote.host} answers in {1000 * seconds:.0f} ms")
    problem, hint = machine.find_problem()
    if problem:
        yield Finding("machine", "bad", problem, hint)
        return
    yield Finding("machine", "ok", f"{machine.system} {machine.architecture}, {machine.libc}")
    yield Finding("its folder", "ok", ", ".join(filter(None, (machine.root, _describe_room(machine)))))
