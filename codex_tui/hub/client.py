"""Connects to the Hugging Face Hub. Turns each error into one sentence, and the library's bars into our progress.

Only the modules of this folder import `huggingface_hub`, and only inside functions, because the import is slow. The
library finds the token itself (HF_TOKEN, `hf auth login`). The token is passed only to the library.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from codex_tui.base import secrets
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress, ignore_progress
from codex_tui.base.text import clean, shorten
from codex_tui.hub.limits import AnswerLimits
from codex_tui.machine import facts

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["dataset", "model"]

TOKEN_HINT = "Set HF_TOKEN in the environment, or run: hf auth login"
RUN_AGAIN = "Run the same command again. Finished transfers are kept; only missing data is moved."
DEFAULT_ENDPOINT = "https://huggingface.co"
TIMEOUT_SECONDS = 10.0
CHUNK_BYTES = 1 << 20
"""Progress is reported after each chunk. The library's 10 MiB take half a minute on a slow connection."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at `commit`. `etag` is the SHA-256 of a large file, the git blob SHA-1 of a small one."""

    name: str
    etag: str
    size: int
    commit: str


@dataclass
class Connection:
    """A connection to one repository. `action` is the present step, such as "sending a.jsonl", for error messages."""

    api: HfApi
    repo: str
    kind: Kind
    report: OnProgress
    limits: AnswerLimits
    action: str = ""

    @property
    def url(self) -> str:
        """The address of the repository's page."""
        return f"{self.api.endpoint.partition('//')[0]}//{format_page(self.repo, self.kind)}"

    @property
    def cache(self) -> Path:
        """The library's cache folder, into which it downloads."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)

    def find_file(self, name: str, revision: str = "main") -> RemoteFile | None:
        """Look up the file `name` of the repository. Returns None if there is none."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

        url = hf_hub_url(self.repo, name, repo_type=self.kind, revision=revision, endpoint=self.api.endpoint)
        try:
            metadata = self.api.get_hf_file_metadata(url=url, timeout=TIMEOUT_SECONDS)
        except HfHubHTTPError as error:
            if error.response.status_code != 404 or isinstance(error, RepositoryNotFoundError | RevisionNotFoundError):
                raise
            return None
        return RemoteFile(name, metadata.etag or "", metadata.size or 0, metadata.commit_hash or "")

    def start_step(self, action: str, done: int = 0, total: int = 0) -> None:
        """Report the progress of `action`: `done` of `total` bytes."""
        self.action = action
        self.report(Progress(action, done, total))


def parse_repo_id(name: str) -> str:
    """Return `name` as owner/name, without a prefix such as hf://. Raises BadInput if it is not a valid name."""
    repo = name.removeprefix("hf://").removeprefix("datasets/")
    if not _NAME.fullmatch(repo) or "--" in repo or ".." in repo or repo.endswith((".git", "-", ".")):
        raise BadInput(f"{shorten(name, 120)!r} is not a repository name.", "Use owner/name, as on the Hub.")
    return repo


@contextmanager
def connect(
    repo: str, kind: Kind, report: OnProgress = ignore_progress, *, writes: bool = False
) -> Iterator[Connection]:
    """Connect to `repo`. Errors of the Hub in the block become a CodexError: one sentence, a hint, and no token."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # the library reads it during its import
    find_endpoint()
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import disable_progress_bars

    token = None
    connection = None
    with _silence_library(report), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disable_progress_bars()
        constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
        try:
            token = get_token()
            if token and not _TOKEN.fullmatch(token):
                raise BadInput("The Hub token has invalid characters.", TOKEN_HINT)
            if writes and not token:
                raise BadInput("No Hub token found, and sending needs one.", TOKEN_HINT)
            limits = AnswerLimits(repo, find_endpoint(), report)
            connection = Connection(HfApi(token=token if writes else None), repo, kind, report, limits)
            with limits.hold():
                yield connection
        except (HTTPError, OSError, ValueError, RuntimeError, LookupError, TypeError, AssertionError) as error:
            if _is_local(error):
                raise
            action = connection.action if connection else ""
            raise _explain(error, repo, kind, action, token, writes) from None


def is_unreachable(error: BaseException) -> bool:
    """Whether `error` means that the Hub could not be reached or failed to answer."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, OfflineModeIsEnabled) or _is_transport(error)


def find_endpoint() -> str:
    """Return host and port of the Hub, without credentials in the URL. Raises BadInput if HF_ENDPOINT is not valid."""
    try:  # check this before the import of the library, which fails on a bad address
        parts = urlsplit(os.environ.get("HF_ENDPOINT", DEFAULT_ENDPOINT))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return clean(parts.netloc.rpartition("@")[2])
    except ValueError:
        pass
    raise BadInput("HF_ENDPOINT is not a valid address.", "Use one such as https://huggingface.co, or unset it.")


def format_page(repo: str, kind: Kind) -> str:
    """Return the address of the repository's page, without https://."""
    return f"{find_endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def _explain(error: BaseException, repo: str, kind: Kind, action: str, token: str | None, writes: bool) -> CodexError:
    from huggingface_hub import errors

    def safe(text: str) -> str:
        text = text.replace(token, "…") if token else text
        return shorten(clean(secrets.redact(text)).strip(), 300)

    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        if cause in chain:
            break
        chain.append(cause)
    if any(isinstance(link, errors.OfflineModeIsEnabled) for link in chain):
        return CodexError("HF_HUB_OFFLINE is set, so the Hub is not used.", "Unset it, or use cached data.")
    http = next((link for link in chain if isinstance(link, errors.HfHubHTTPError)), None)
    if http is not None:
        return _explain_refusal(http, repo, kind, action, token, writes, safe)
    if any(map(_is_transport, chain)) or "Consistency check failed" in str(error):
        if action:
            return CodexError(f"The Hub at {find_endpoint()} stopped answering while {safe(action)}.", RUN_AGAIN)
        return CodexError(f"The Hub can't be reached at {find_endpoint()}.", "Check the network, then run it again.")
    if isinstance(error, errors.HFValidationError):
        return BadInput(safe(str(error)), "A repository name is owner/name, as on the Hub.")
    during = f" while {safe(action)}" if action else ""
    detail = safe(str(error)) or type(error).__name__
    return CodexError(f"The Hub at {find_endpoint()} gave an unexpected answer{during}: {detail}", RUN_AGAIN)


def _explain_refusal(
    error: Any, repo: str, kind: Kind, action: str, token: str | None, writes: bool, safe: Callable[[str], str]
) -> CodexError:
    from huggingface_hub import errors

    status = error.response.status_code
    detail = safe(error.server_message or "")
    page = format_page(repo, kind)
    if isinstance(error, errors.GatedRepoError):
        return BadInput(f"{repo} is gated: its owner decides who may read it.", f"Ask for access at {page}")
    if isinstance(error, errors.RevisionNotFoundError):
        return BadInput(f"{repo} has no such revision.", f"Give a branch, a tag or a commit; see {page}")
    if status == 401 and token:
        place = facts.hub_token() or "that was found"
        return BadInput(f"The Hub does not accept the token {clean(place)}.", f"Create a new one. {TOKEN_HINT}")
    if status == 401:
        return BadInput(f"{repo} is private or does not exist, and no Hub token is set.", TOKEN_HINT)
    if status == 403:
        access, remedy = ("write to", "push to your own name") if writes else ("read", "ask its owner")
        return BadInput(
            f"The token may not {access} {repo}{f': {detail}' if detail else ''}.",
            f"Change the token's rights in the Hub's settings, or {remedy}.",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        hint = "Check owner and name. A private repository needs a token that may read it."
        return BadInput(f"There is no {kind} repository {repo} on the Hub.", hint)
    if status in (409, 412):
        return CodexError(f"{repo} was changed by someone else at the same time.", RUN_AGAIN)
    if status == 429:
        return CodexError("The Hub refused the request: too many requests.", f"Wait a few minutes. {RUN_AGAIN}")
    if status >= 500:
        return CodexError(f"The Hub failed with error {status}{f' while {safe(action)}' if action else ''}.", RUN_AGAIN)
    return CodexError(f"The Hub refused the request (error {status}){f': {detail}' if detail else '.'}", "")


def _is_transport(error: BaseException) -> bool:
    """Whether the network failed. Compares class names, because the httpx package depends on the library's version."""
    return "TransportError" in {kind.__name__ for kind in type(error).__mro__}


def _is_local(error: BaseException) -> bool:
    """Whether the error comes from this machine, such as a full disk. The caller explains these errors."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError):
        return False
    return type(error).__module__ == "builtins" and error.errno is not None


@contextmanager
def _silence_library(report: OnProgress) -> Iterator[None]:
    """Hide the library's log, which may contain signed addresses. Report only its retries."""

    class Retries(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if any(word in record.getMessage() for word in ("Retrying in", "Trying to resume")):
                report(Progress("the Hub does not answer; trying again"))

    logger = logging.getLogger("huggingface_hub")
    before, propagated = logger.handlers[:], logger.propagate
    logger.handlers[:], logger.propagate = [Retries()], False
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before, propagated


def make_bar(step: str, report: OnProgress) -> type:
    """Return a class for the library to use in place of tqdm. It reports the bytes of its bars and draws nothing."""
    max_done = 0

    class Bar:
        format_dict: dict[str, Any] = {}

        def __init__(self, *_args: Any, total: float | None = None, initial: int = 0, **options: Any) -> None:
            self.total, self.n, self.counts = total or 0, initial, options.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            nonlocal max_done
            self.n += int(n or 0)
            if self.counts and self.n >= max_done:  # the library has two bars for the same bytes: received and written
                max_done = self.n
                report(Progress(step, self.n, int(self.total)))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def __getattr__(self, _name: str) -> Callable[..., None]:
            return lambda *_args, **_options: None  # close, refresh, set_description, …

    return Bar
