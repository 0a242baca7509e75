"""Runs commands on another machine, by the system's `ssh` and the person's own ~/.ssh/config.

One connection for all commands: a master process of ssh keeps it open for a few minutes after the last command, and its
socket is in a folder that only this user may open. Nothing asks for a password: a login that needs one fails, and
`codex-tui remote add` says what to do.
"""

from __future__ import annotations

import base64
import secrets
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from codex_tui.base.errors import CodexError, convert_os_error
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.engines.ssh.link.archive import pack, unpack
from codex_tui.engines.ssh.link.failures import FailureReader
from codex_tui.engines.ssh.link.master import OPTIONS, Deadline, TooLate, ensure_master, make_environ
from codex_tui.engines.ssh.link.stream import Stream, end_process

TIMEOUT_SECONDS = 30.0
FOLDER_EXISTS = 73

# The login shell over there reads one line, and this program in it runs the command. The startup files of that shell
# may print text, so that only what follows the marker belongs to the command. A command that ends with 255 ends with
# 254, because 255 means that ssh failed.
_BEGIN = 'echo "$0"; echo "$0" >&2; '
_END = "[ $code = 255 ] && code=254; exit $code"
_RUN = f'{_BEGIN} "$@"; code=$?; {_END}'
# The same for a command that prints for a long time. It ends when the connection does, because its stdin ends then.
_STREAM = (
    f'{_BEGIN} exec 3<&0; "$@" </dev/null 3<&- & command=$!; '
    "{ read -r line <&3; kill $command; } >/dev/null 2>&1 & watcher=$!; "
    f"exec 3<&-; wait $command; code=$?; kill $watcher 2>/dev/null; {_END}"
)
# Unpacks stdin beside the folder $1 and renames the result, so that a folder of this name is always whole.
_RECEIVE = (
    f'umask 077; [ -e "$1" ] && exit {FOLDER_EXISTS}; '
    'mkdir -p "$(dirname "$1")" && part=$(mktemp -d "$1.XXXXXX") || exit 1; '
    "trap 'rm -rf \"$part\"' EXIT; "
    f'tar -xzof - -C "$part" || exit 1; [ -e "$1" ] && exit {FOLDER_EXISTS}; mv "$part" "$1"'
)


class Connection:
    """The connection to `host`: a name of ~/.ssh/config, `user@host`, or `ssh://user@host:port`. Errors call it `name`.

    It connects at the first command. Every method raises Unreachable if ssh fails, and RemoteFailed if the command
    does.
    """

    def __init__(self, host: str, name: str = "") -> None:
        self.host, self.name = host, name or host
        self._failures = FailureReader(host, self.name, f"codex-tui-{secrets.token_hex(8)}")

    def run(self, argv: Sequence[str], input: bytes | None = None, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """Run `argv` in the home folder over there, and return what it prints."""
        deadline = Deadline(timeout)
        with tempfile.TemporaryFile() as errors:
            process = self._start(_RUN, argv, errors, deadline, subprocess.DEVNULL if input is None else None)
            try:
                output = process.communicate(input, deadline.seconds_left)[0]
            except subprocess.TimeoutExpired:
                raise self._failures.explain_silence(deadline) from None
            finally:
                end_process(process)
            before, marker, answer = output.partition(self._failures.marker_line)
            self._failures.check(argv[0], process.returncode, errors, begun=bool(marker), before=before)
            return answer

    def stream(self, argv: Sequence[str], timeout: float = TIMEOUT_SECONDS) -> Stream:
        """Start `argv` over there and return its output, which begins within `timeout`. The command ends with the
        stream and with the connection."""
        deadline = Deadline(timeout)
        errors = tempfile.TemporaryFile()  # noqa: SIM115  the stream closes it
        process = self._start(_STREAM, argv, errors, deadline, None)
        stream = Stream(self._failures, argv[0], process, errors)
        try:
            stream.skip_to_marker(deadline)
        except BaseException:
            stream.close()
            raise
        return stream

    def send(self, files: Mapping[str, Path | bytes], folder: str, report: OnProgress = ignore_progress) -> bool:
        """Make `folder` over there with `files`: the content, the file or the folder for each relative name. The folder
        appears when it is whole. Returns False if it was there already; then it stays as it is."""
        argv = ["sh", "-c", _RECEIVE, "sh", folder]
        with tempfile.TemporaryFile() as errors:
            process = self._start(_RUN, argv, errors, Deadline(TIMEOUT_SECONDS), None)
            assert process.stdin is not None and process.stdout is not None
            try:
                with suppress(BrokenPipeError), process.stdin as stdin:  # the exit code says why it reads no more
                    pack(files, stdin, f"sending to {self.name}", report)
                output = process.stdout.read()
                code = process.wait()
            finally:
                end_process(process)
            if code == FOLDER_EXISTS:
                return False
            before, marker, _ = output.partition(self._failures.marker_line)
            self._failures.check("tar", code, errors, begun=bool(marker), before=before)
            return True

    def fetch(
        self,
        folder: str,
        target: Path,
        report: OnProgress = ignore_progress,
        total: int = 0,
        check: Callable[[Path], None] | None = None,
    ) -> None:
        """Copy `folder` from over there to `target`. The copy takes the place of an older one when it is whole and
        `check` does not raise. `total` is the number of bytes, if the caller knows it. Raises CodexError too if
        `target` can't be written."""
        with self.stream(["tar", "-cf", "-", "-C", folder, "."]) as stream:
            try:
                with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as place:
                    fresh, old = Path(place, "new"), Path(place, "old")
                    unpack(stream.read, fresh, f"fetching {target.name} from {self.name}", report, total)
                    stream.finish()
                    if check:
                        check(fresh)
                    if target.exists():
                        target.rename(old)
                    fresh.rename(target)
            except tarfile.TarError as error:
                stream.finish()  # a cut connection leaves a damaged archive
                raise CodexError(f"{folder} on {self.name} can't be fetched: {error}.") from None
            except OSError as error:
                raise convert_os_error(error) from None

    def _start(
        self, program: str, argv: Sequence[str], errors: IO[bytes], deadline: Deadline, stdin: int | None
    ) -> subprocess.Popen[bytes]:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise CodexError("There is no program ssh on this machine.", "Install it: apt install openssh-client")
        try:
            master = ensure_master(ssh, self.host, deadline)
        except TooLate:
            raise self._failures.explain_silence(deadline) from None
        if master.failure is not None:
            raise self._failures.explain(master.failure)
        command = make_command_line(["sh", "-c", program, self._failures.marker, *argv])
        return subprocess.Popen(
            [ssh, *OPTIONS, "-o", f"ControlPath={master.socket}", "-o", "ControlMaster=no", "--", self.host, command],
            stdin=subprocess.PIPE if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=make_environ(),
            start_new_session=True,  # Ctrl-C is the app's, and nothing can ask on its terminal
        )


def make_command_line(argv: Sequence[str]) -> str:
    """Return the line that lets a login shell become the command `argv`. Shells quote in different ways: a csh has no
    line breaks in quotes, and a fish knows backslashes there. So the line has only what means the same to all."""
    encoded = base64.b64encode(f"exec {shlex.join(argv)}".encode()).decode()
    return f"exec sh -c 'eval \"$(echo {encoded} | base64 -d)\"'"
