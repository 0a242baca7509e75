"""Finds tokens, and credentials in URLs. People paste them, and libraries put URLs into their error messages."""

from __future__ import annotations

import re

_HUB_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")

# user:password@ after https://, or after https:/ as pathlib writes a URL. A password may hold a slash or an @. The
# lengths have limits, so that a long text takes no time. The user of an address for ssh is no secret.
_CREDENTIALS = re.compile(
    r"""(?<=[A-Za-z0-9]{2})(?!(?<=ssh)://[\w.+%-]{1,100}@)"""
    r"""(?P<before>:/{1,3})(?!…@)(?:[^\s/?#"'<>]{1,300}|[^\s/:?#"'<>]{1,100}:(?!\d{1,5}/)[^\s"'<>]{1,300})(?=@)"""
)
_NAMED_VALUE = re.compile(
    r"""(?P<before>[?&;][\w.%-]{0,40}?(?:token|key|passw(?:or)?d|pwd|secret|signature|credential|auth|jwt|sig)=)"""
    r"""[^\s&;#"'<>…][^\s&;#"'<>]*""",
    re.IGNORECASE,
)
# A value of a query that looks like a token: 20 characters or more, with a digit.
_LONG_VALUE = re.compile(r"(?P<before>[?&;][\w.%-]{1,60}=)(?=[^\s&;#]{0,60}\d)[\w.~+/%=-]{20,}")


def has_secret(text: str) -> bool:
    """Return whether `text` has a token of the Hub, credentials in a URL, or a secret in the query of one."""
    return any(pattern.search(text) for pattern in (_HUB_TOKEN, _CREDENTIALS, _NAMED_VALUE))


def redact_secrets(text: str) -> str:
    """Replace tokens of the Hub, credentials in URLs, and values in the query of a URL that may be tokens."""
    for pattern in (_CREDENTIALS, _NAMED_VALUE, _LONG_VALUE):
        text = pattern.sub(r"\g<before>…", text)
    return _HUB_TOKEN.sub("hf_…", text)
