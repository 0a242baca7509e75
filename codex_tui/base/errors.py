"""Errors that a person can act on. The command line prints them without a traceback and exits with `exit_code`."""

from __future__ import annotations

import errno

DONE, FAILED, BAD_INPUT, NO_ENVIRONMENT, NO_CHECKPOINT, DETACHED = 0, 1, 2, 3, 4, 130
MAX_PATH_LENGTH = 4096


class CodexError(Exception):
    """An error with a `message` that says in one sentence what is wrong, and a `hint` that says what to do.

    Both are shown, so secrets are taken out: a person may have pasted a URL with a password where a path was expected.
    """

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        from codex_tui.base.secrets import redact  # its patterns take milliseconds to compile, and few starts fail

        self.message = redact(message)
        self.hint = redact(hint)
        super().__init__(f"{self.message}\n{self.hint}" if hint else self.message)


class BadInput(CodexError):
    """A wrong argument, file, line or field."""

    exit_code = BAD_INPUT


class EnvironmentMissing(CodexError):
    """There is no Python that can train, or its environment lacks packages."""

    exit_code = NO_ENVIRONMENT


class EnvironmentNotBuilt(EnvironmentMissing):
    """The app's own environment is missing, out of date or damaged. The start of a run here builds it; that needs
    `gib_needed` on the disk."""

    def __init__(self, gib_needed: int) -> None:
        self.gib_needed = gib_needed
        super().__init__(
            "The training environment is not built yet, or is out of date or damaged", "Build it: codex-tui setup"
        )


def hint_for_failed_write(error: Exception) -> str:
    """Return what to do if `error` says that a disk is full or a file too large, else ""."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EFBIG:
        from training.contract.files import describe_size_limit

        reason, hint = describe_size_limit()
        return f"{reason[:1].upper()}{reason[1:]}. {hint}"
    return "Free some space there, then try it again." if code in (errno.ENOSPC, errno.EDQUOT) else ""


HINTS = {
    errno.EROFS: "Make it writable (it is mounted read-only), then try it again.",
    errno.EACCES: "Check its owner and permissions (ls -ld), then try it again.",
}


def convert_os_error(error: OSError) -> CodexError:
    """Turn an error of the operating system into a sentence with the path, and a hint that says what to do."""
    from codex_tui.base.text import clean, shorten

    where = f"{shorten(clean(error.filename), MAX_PATH_LENGTH)}: " if error.filename is not None else ""
    kind = BadInput if error.errno == errno.ENAMETOOLONG else CodexError  # a typed name is too long
    return kind(f"{where}{error.strerror or error}.", hint_for_failed_write(error) or HINTS.get(error.errno or 0, ""))
