"""Errors a person can act on. The command line prints them without a traceback and exits with `exit_code`."""

from __future__ import annotations

DONE, FAILED, BAD_INPUT, NO_ENVIRONMENT = 0, 1, 2, 3


class CodexError(Exception):
    """`message` says what is wrong in one sentence, `hint` what to do about it."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message}\n{hint}" if hint else message)


class BadInput(CodexError):
    """A wrong argument, file, line or field."""

    exit_code = BAD_INPUT


class EnvironmentMissing(CodexError):
    """No interpreter that can train, or one that lacks packages."""

    exit_code = NO_ENVIRONMENT
