"""The `uv` binary: pip's settings in its words, its progress, and its failures in plain words."""

from __future__ import annotations

import ast
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.errors import EnvironmentMissing

# What uv calls pip's options. Lists: pip separates by white space, uv's find-links by commas.
_WORDS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
# They describe the shell codex-tui was started from, not the environment being built.
_NOT_OURS = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_CONSTRAINT", "UV_OVERRIDE")


def pip_options() -> dict[str, str]:
    """pip's effective options for `install`, from its files and its environment; none where pip is not there."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, cwd="/"
    )
    return parse_pip_config(listed.stdout, os.environ)


def parse_pip_config(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """`listed`: lines such as `global.find-links='/wheels'`. A command's own section overrides the global one,
    the environment both, as in pip."""
    ranked: dict[str, tuple[int, str]] = {}
    rank = {"global": 0, "install": 1, ":env:": 2}
    for line in listed.splitlines():
        if not (found := re.match(r"(global|install|:env:)\.([\w-]+)=(.+)$", line)):
            continue
        section, option, quoted = found.groups()
        option = option.replace("_", "-")
        try:
            value = str(ast.literal_eval(quoted))
        except (ValueError, SyntaxError):
            continue
        if option not in ranked or ranked[option][0] <= rank[section]:
            ranked[option] = (rank[section], value)
    options = {option: value for option, (_, value) in ranked.items()}
    for name, value in environ.items():  # pip may be missing (a uv tool, pipx): its variables still count
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return options


def uv_environment(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with pip's options in uv's words; what the person set for uv itself wins."""
    result = {name: value for name, value in environ.items() if name not in _NOT_OURS}
    for option, name in _WORDS.items():
        value = " ".join(options.get(option, "").split())
        if not value or name in environ:
            continue
        if option == "find-links":  # relative ones are meant from here, not from where uv will run
            places = (v if "://" in v else str(Path(v).expanduser().absolute()) for v in value.split())
            value = ",".join(places)
        result[name] = value
    # pip takes the best version of all indexes; uv by default looks no further than the first that has the name.
    result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return result | {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": environ.get("UV_PYTHON_DOWNLOADS", "never")}


@dataclass
class Activity:
    """What uv has told so far of one command."""

    downloading: dict[str, float]  # name -> MiB
    announced: float = 0.0  # MiB
    received: float = 0.0  # MiB

    def eta_seconds(self, elapsed: float) -> float | None:
        """By the share of the announced downloads that is here; uv tells only of whole ones, and not of small
        ones, so nothing is said before a tenth has come."""
        if self.announced and self.announced > self.received > self.announced / 10:
            return elapsed * (self.announced / self.received - 1)
        return None

    def read(self, line: str) -> None:
        if started := re.match(r"\s*(?:Downloading|Building) (\S+) \(([\d.]+)\s*([KMG]iB)\)", line):
            size = float(started.group(2)) * {"KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[started.group(3)]
            self.downloading[started.group(1)] = size
            self.announced += size
        elif (ended := re.match(r"\s*Downloaded (\S+)", line)) and ended.group(1) in self.downloading:
            self.received += self.downloading.pop(ended.group(1))

    def __str__(self) -> str:
        largest = sorted(self.downloading.items(), key=lambda item: -item[1])
        names = ", ".join(name for name, _ in largest)
        return f"{self.received:,.0f} of {self.announced:,.0f} MiB: {names}" if names else ""


class Uv:
    """Runs the `uv` that came with the app. The descriptor `held` stays open in it: a lock that outlives us."""

    def __init__(self, held: int) -> None:
        from uv import find_uv_bin

        try:
            self._binary = str(find_uv_bin())
        except FileNotFoundError:
            raise EnvironmentMissing(
                "The package uv is installed without its program", "python -m pip install --force-reinstall uv"
            ) from None
        self._held = held
        options = pip_options()
        self._environment = uv_environment(options, os.environ)
        self._no_index = options.get("no-index", "").lower() in ("1", "true", "yes", "on")  # has no variable

    def install(
        self, python: Path, arguments: Sequence[str], on_progress: Callable[[Activity, float], None] | None = None
    ) -> None:
        """Install what `arguments` ask for beside `python`; otherwise as `run`."""
        flags = ["--no-index"] if self._no_index else []
        self.run(["pip", "install", "--python", str(python), *flags, *arguments], python.parent, on_progress)

    def run(
        self, arguments: Sequence[str], cwd: Path, on_progress: Callable[[Activity, float], None] | None = None
    ) -> None:
        """Run one command in `cwd`; `on_progress(activity, elapsed seconds)` is called two to ten times a second.

        EnvironmentMissing where it fails; ends uv when the caller is interrupted.
        """
        process = subprocess.Popen(
            [self._binary, *arguments],
            cwd=cwd,  # uv would read the settings of a project the person stands in
            env=self._environment,
            pass_fds=[self._held],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        activity, last, started = Activity({}), deque[str](maxlen=40), time.monotonic()
        told = 0.0
        try:
            for line in _lines(process):
                if line:
                    last.append(line)
                    activity.read(line)
                if on_progress and (now := time.monotonic()) - told >= 0.1:
                    told = now
                    on_progress(activity, now - started)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if code:
            raise failure(list(last))


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Lines of stderr as they come, "" after half a second without one."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.put(line.rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=0.5)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line


_REASONS = (
    (
        r"(?:`| to | at )(/[^`:]+?)`?: (?:No space left|Disk quota)",
        "The disk is full: {} can't be written",
        "Free some space there, then run it again.",
    ),
    (r"No space left|os error 28|Disk quota", "The disk is full", "Free some space, then run it again."),
    (
        r"no version of|not found in the package registry|no wheels with a matching|not found in the provided",
        "The registry does not have a version on the list",
        "Check pip's index-url and find-links: `python -m pip config list`.",
    ),
    (
        r"error sending request|dns error|Failed to fetch|timed out|connection re|Could not connect|certificate",
        "The package registry cannot be reached",
        "Check the network and pip's settings (`python -m pip config list`); what is downloaded is kept.",
    ),
    (r"Permission denied|Read-only file", "The folder cannot be written", "Check its owner and permissions."),
    (r"No interpreter found|No Python", "There is no Python 3.11 to 3.13", "Install one, then run it again."),
)


def failure(lines: Sequence[str]) -> EnvironmentMissing:
    """uv's last `lines` as an error: the reason in words, then uv's own."""
    said = "\n".join(line for line in lines if line.strip())
    marked = re.search(r"^\s*(error:|×)", said, re.MULTILINE)
    own = said[marked.start() if marked else 0 :] or "uv printed nothing"
    unwrapped = " ".join(own.split())  # uv breaks its lines at long paths
    for pattern, message, hint in _REASONS:
        if found := re.search(pattern, unwrapped, re.IGNORECASE):
            return EnvironmentMissing(message.format(*found.groups()), f"{hint}\nuv said: {own}")
    return EnvironmentMissing("The training environment could not be built", f"uv said: {own}")
