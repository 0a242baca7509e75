"""Runs the program `uv`: passes pip's settings to it, reads its progress, and explains its failures."""

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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base.errors import EnvironmentMissing

# The variable of uv for each option of pip. In lists, pip separates by spaces and uv's find-links by commas.
_UV_VARIABLES = {
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
# These describe the shell in which codex-tui was started, not the environment that is built.
_REMOVED_VARIABLES = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_CONSTRAINT", "UV_OVERRIDE")


def read_pip_options() -> dict[str, str]:
    """Read the options that pip would use for `install`, from its files and from the environment.

    An environment that uv made has no pip. Then the system's pip says what the machine's pip.conf has.
    """
    for python in (sys.executable, "python3"):
        with suppress(OSError):
            listed = subprocess.run(
                [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False, cwd="/"
            )
            if listed.returncode == 0:
                return parse_pip_config(listed.stdout, os.environ)
    return parse_pip_config("", os.environ)


def parse_pip_config(listed: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Parse the output of `pip config list`, with lines such as `global.find-links='/wheels'`. As in pip, the section
    `install` overrides `global`, and the environment overrides both."""
    ranked: dict[str, tuple[int, str]] = {}
    rank = {"global": 0, "install": 1, ":env:": 2}
    for line in listed.splitlines():
        if not (match := re.match(r"(global|install|:env:)\.([\w-]+)=(.+)$", line)):
            continue
        section, option, quoted = match.groups()
        option = option.replace("_", "-")
        try:
            value = str(ast.literal_eval(quoted))
        except (ValueError, SyntaxError):
            continue
        if option not in ranked or ranked[option][0] <= rank[section]:
            ranked[option] = (rank[section], value)
    options = {option: value for option, (_, value) in ranked.items()}
    for name, value in environ.items():  # pip may not be installed (uv tool, pipx); its variables count anyway
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return options


def make_uv_environ(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return `environ` with pip's options as variables of uv. Variables that the person set for uv take precedence."""
    result = {name: value for name, value in environ.items() if name not in _REMOVED_VARIABLES}
    for option, name in _UV_VARIABLES.items():
        value = " ".join(options.get(option, "").split())
        if not value or name in environ:
            continue
        if option == "find-links":  # relative paths refer to the present folder, and uv runs in another
            places = (v if "://" in v else str(Path(v).expanduser().absolute()) for v in value.split())
            value = ",".join(places)
        result[name] = value
    # pip chooses the best version of all indexes. uv by default uses only the first index that has the package.
    result.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return result | {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": environ.get("UV_PYTHON_DOWNLOADS", "never")}


@dataclass
class Activity:
    """The downloads of one uv command so far, from its output."""

    downloading: dict[str, float]  # name -> MiB
    announced: float = 0.0  # MiB
    received: float = 0.0  # MiB

    def estimate_seconds_left(self, elapsed: float) -> float | None:
        """Estimate the time left from the share of finished downloads. uv reports only whole, large downloads, so this
        returns None until a tenth is finished."""
        if self.announced and self.announced > self.received > self.announced / 10:
            return elapsed * (self.announced / self.received - 1)
        return None

    def read(self, line: str) -> None:
        """Update the counts from one line of uv's output."""
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
    """Runs the `uv` that is installed with the app. It inherits `lock`, the descriptor of a locked file, so that the
    lock lasts until uv ends, even if this process dies."""

    def __init__(self, lock: int) -> None:
        from uv import find_uv_bin

        try:
            self._binary = str(find_uv_bin())
        except FileNotFoundError:
            raise EnvironmentMissing(
                "The package uv is installed, but its program is missing",
                "Install it again: python -m pip install --force-reinstall uv",
            ) from None
        self._lock = lock
        options = read_pip_options()
        self._environment = make_uv_environ(options, os.environ)
        self._no_index = options.get("no-index", "").lower() in ("1", "true", "yes", "on")  # uv has no variable for it

    def install(
        self, python: Path, arguments: Sequence[str], on_progress: Callable[[Activity, float], None] | None = None
    ) -> None:
        """Install packages into the environment of `python`. `arguments` are those of `uv pip install`. See `run`."""
        flags = ["--no-index"] if self._no_index else []
        self.run(["pip", "install", "--python", str(python), *flags, *arguments], python.parent, on_progress)

    def run(
        self, arguments: Sequence[str], cwd: Path, on_progress: Callable[[Activity, float], None] | None = None
    ) -> None:
        """Run one command in `cwd`. Calls `on_progress(activity, elapsed seconds)` two to ten times a second.

        Raises EnvironmentMissing if the command fails. Ends uv if the caller is interrupted.
        """
        process = subprocess.Popen(
            [self._binary, *arguments],
            cwd=cwd,  # in the present folder uv would read the settings of a project
            env=self._environment,
            pass_fds=[self._lock],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            restore_signals=False,  # else SIGXFSZ would kill uv where a file becomes too large, and uv could not say so
        )
        activity, last, started = Activity({}), deque[str](maxlen=40), time.monotonic()
        reported_at = 0.0
        try:
            for line in _read_lines(process):
                if line:
                    last.append(line)
                    activity.read(line)
                if on_progress and (now := time.monotonic()) - reported_at >= 0.1:
                    reported_at = now
                    on_progress(activity, now - started)
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        if code:
            raise explain_failure(list(last))


def _read_lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield the lines of stderr as they come, and "" after each half second without one."""
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
    (
        r"(?:`| to | at )(/[^`:]+?)`?: File too large",
        "{} can't be written: it would be larger than a file may be",
        "Look at the limit with `ulimit -f`, raise it with `ulimit -f unlimited`, then run it again.",
    ),
    (
        r"File too large|os error 27\b",
        "A file would be larger than a file may be",
        "Look at the limit with `ulimit -f`, raise it with `ulimit -f unlimited`, then run it again.",
    ),
    (r"No space left|os error 28|Disk quota", "The disk is full", "Free some space, then run it again."),
    (
        r"no version of|not found in the package registry|no wheels with a matching|not found in the provided",
        "The package registry does not have a pinned version",
        "Check pip's index-url and find-links: `python -m pip config list`.",
    ),
    (
        r"error sending request|dns error|Failed to fetch|timed out|connection re|Could not connect|certificate",
        "The package registry cannot be reached",
        "Check the network and pip's settings (`python -m pip config list`); finished downloads are kept.",
    ),
    (r"Permission denied|Read-only file", "The folder cannot be written", "Check its owner and permissions."),
    (r"No interpreter found|No Python", "There is no Python 3.11 to 3.13", "Install one, then run it again."),
)


def explain_failure(lines: Sequence[str]) -> EnvironmentMissing:
    """Turn the last `lines` of uv into an error: the reason in plain words, then the output of uv."""
    output = "\n".join(line for line in lines if line.strip())
    marked = re.search(r"^\s*(error:|×)", output, re.MULTILINE)
    message_of_uv = output[marked.start() if marked else 0 :] or "uv printed nothing"
    unwrapped = " ".join(message_of_uv.split())  # uv wraps its lines at long paths
    for pattern, message, hint in _REASONS:
        if match := re.search(pattern, unwrapped, re.IGNORECASE):
            return EnvironmentMissing(message.format(*match.groups()), f"{hint}\nOutput of uv: {message_of_uv}")
    return EnvironmentMissing("The environment could not be built", f"Output of uv: {message_of_uv}")
