"""A conversation with the Hugging Face Hub: one token, one sentence for whatever goes wrong, progress instead of bars.

`huggingface_hub` is imported in the `hub*` modules alone, inside functions, because that takes a while. The token is
the one it finds by itself (HF_TOKEN, `hf auth login`); it is handed on to the library and goes nowhere else.
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
from codex_tui.machine import facts

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Kind = Literal["dataset", "model"]

TOKEN_HINT = "Set HF_TOKEN in the environment, or run: hf auth login"
AGAIN = "Run the same command again: what has arrived is kept, only what is missing is moved."
HUB = "https://huggingface.co"
TIMEOUT_SECONDS = 10.0
PIECE = 1 << 20
"""Bytes that are written, and told of, at a time; the library's 10 MiB are half a minute on a slow line."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class RemoteFile:
    """`etag` is the SHA-256 of a large file, the git blob's SHA-1 of a small one; `commit` where it was looked up."""

    name: str
    etag: str
    size: int
    commit: str


@dataclass
class Connection:
    """`doing` is what is under way, for the sentence if the line breaks."""

    api: HfApi
    repo: str
    kind: Kind
    report: OnProgress
    doing: str = ""

    @property
    def url(self) -> str:
        return f"{self.api.endpoint.partition('//')[0]}//{page_of(self.repo, self.kind)}"

    @property
    def cache(self) -> Path:
        """The library's, into which it fetches."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE)

    def look(self, name: str, revision: str = "main") -> RemoteFile | None:
        """The file `name` of the repository; None where it has none."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

        url = hf_hub_url(self.repo, name, repo_type=self.kind, revision=revision, endpoint=self.api.endpoint)
        try:
            found = self.api.get_hf_file_metadata(url=url, timeout=TIMEOUT_SECONDS)
        except HfHubHTTPError as error:
            if error.response.status_code != 404 or isinstance(error, RepositoryNotFoundError | RevisionNotFoundError):
                raise
            return None
        return RemoteFile(name, found.etag or "", found.size or 0, found.commit_hash or "")

    def step(self, doing: str, done: int = 0, total: int = 0) -> None:
        self.doing = doing
        self.report(Progress(doing, done, total))


def repo_id(name: str) -> str:
    """`name` as owner/name. Raises BadInput where it can be no repository's."""
    found = name.removeprefix("hf://").removeprefix("datasets/")
    if not _NAME.fullmatch(found) or "--" in found or ".." in found or found.endswith((".git", "-", ".")):
        raise BadInput(f"{shorten(name, 120)!r} is not the name of a repository.", "It is owner/name, as on the Hub.")
    return found


@contextmanager
def connected(
    repo: str, kind: Kind, report: OnProgress = ignore_progress, *, writes: bool = False
) -> Iterator[Connection]:
    """Raises CodexError for whatever goes wrong inside: one sentence, a hint, and no token in either."""
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # read when the library is imported
    endpoint()
    from huggingface_hub import HfApi, constants, get_token
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import disable_progress_bars

    found = None
    connection = None
    with _quiet(report), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        disable_progress_bars()
        constants.DOWNLOAD_CHUNK_SIZE = PIECE
        try:
            found = get_token()
            if found and not _TOKEN.fullmatch(found):
                raise BadInput("The token for the Hub has characters that no token has.", TOKEN_HINT)
            if writes and not found:
                raise BadInput("There is no token for the Hub, and nothing is sent without one.", TOKEN_HINT)
            connection = Connection(HfApi(token=found if writes else None), repo, kind, report)
            yield connection
        except (HTTPError, OSError, ValueError, RuntimeError, LookupError, TypeError, AssertionError) as error:
            if _is_local(error):
                raise
            doing = connection.doing if connection else ""
            raise _explained(error, repo, kind, doing, found, writes) from None


def is_unreachable(error: BaseException) -> bool:
    """Whether `error` says that the Hub could not be asked, or could not answer."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    return isinstance(error, OfflineModeIsEnabled) or _is_transport(error)


def endpoint() -> str:
    """Where the Hub is, without the credentials that a URL may carry. Raises BadInput where that is nowhere."""
    try:  # before the library is imported, which fails on it
        parts = urlsplit(os.environ.get("HF_ENDPOINT", HUB))
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return clean(parts.netloc.rpartition("@")[2])
    except ValueError:
        pass
    raise BadInput("HF_ENDPOINT is no address of a Hub.", "It is such as https://huggingface.co, or not set at all.")


def page_of(repo: str, kind: Kind) -> str:
    """The repository's page, without https://."""
    return f"{endpoint()}/{'datasets/' if kind == 'dataset' else ''}{repo}"


def _explained(error: BaseException, repo: str, kind: Kind, doing: str, token: str | None, writes: bool) -> CodexError:
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
        return CodexError("HF_HUB_OFFLINE is set, so the Hub is not asked.", "Unset it, or use what is in the cache.")
    http = next((link for link in chain if isinstance(link, errors.HfHubHTTPError)), None)
    if http is not None:
        return _refused(http, repo, kind, doing, token, writes, safe)
    if any(map(_is_transport, chain)) or "Consistency check failed" in str(error):
        if doing:
            return CodexError(f"The Hub at {endpoint()} stopped answering while {safe(doing)}.", AGAIN)
        return CodexError(f"The Hub can't be reached at {endpoint()}.", "Check the network, then run it again.")
    if isinstance(error, errors.HFValidationError):
        return BadInput(safe(str(error)), "A repository is called owner/name, as on the Hub.")
    what = f" while {safe(doing)}" if doing else ""
    said = safe(str(error)) or type(error).__name__
    return CodexError(f"The Hub at {endpoint()} gave an answer that was not understood{what}: {said}", AGAIN)


def _refused(
    error: Any, repo: str, kind: Kind, doing: str, token: str | None, writes: bool, safe: Callable[[str], str]
) -> CodexError:
    from huggingface_hub import errors

    status = error.response.status_code
    said = safe(error.server_message or "")
    page = page_of(repo, kind)
    if isinstance(error, errors.GatedRepoError):
        return BadInput(f"{repo} is gated: its owner decides who may read it.", f"Ask for access at {page}")
    if isinstance(error, errors.RevisionNotFoundError):
        return BadInput(f"{repo} has no such revision.", f"Give a branch, a tag or a commit; see {page}")
    if status == 401 and token:
        where = facts.hub_token() or "that was found"
        return BadInput(f"The Hub does not accept the token {clean(where)}.", f"Make a new one. {TOKEN_HINT}")
    if status == 401:
        return BadInput(f"{repo} is private or not there, and there is no token to ask with.", TOKEN_HINT)
    if status == 403:
        what, other = ("write to", "push to a name of your own") if writes else ("read", "ask its owner")
        return BadInput(
            f"The token may not {what} {repo}{f': {said}' if said else ''}.",
            f"Give it that right in the Hub's settings, or {other}.",
        )
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        hint = "Check owner and name; a private one is seen only with the token of someone who may."
        return BadInput(f"There is no {kind} repository {repo} on the Hub.", hint)
    if status in (409, 412):
        return CodexError(f"{repo} was changed by someone else at the same time.", AGAIN)
    if status == 429:
        return CodexError("The Hub asks for patience: too many requests.", f"Wait some minutes. {AGAIN}")
    if status >= 500:
        return CodexError(f"The Hub failed with error {status}{f' while {safe(doing)}' if doing else ''}.", AGAIN)
    return CodexError(f"The Hub refused it (error {status}){f': {said}' if said else '.'}", "")


def _is_transport(error: BaseException) -> bool:
    """By name: which of the httpx packages it comes from depends on the library's version."""
    return "TransportError" in {kind.__name__ for kind in type(error).__mro__}


def _is_local(error: BaseException) -> bool:
    """A full disk, a file that can't be read: the person's own, told as everywhere else."""
    if not isinstance(error, OSError) or isinstance(error, ConnectionError):
        return False
    return type(error).__module__ == "builtins" and error.errno is not None


@contextmanager
def _quiet(report: OnProgress) -> Iterator[None]:
    """What the library logs is for developers and may name signed addresses; of its retries a person should know."""

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


def bar(step: str, report: OnProgress) -> type:
    """A class that the library takes for tqdm: the bytes of all bars made from it go to `report`; nothing is drawn."""
    most = 0

    class Bar:
        format_dict: dict[str, Any] = {}

        def __init__(self, *_args: Any, total: float | None = None, initial: int = 0, **options: Any) -> None:
            self.total, self.n, self.counts = total or 0, initial, options.get("unit") == "B"

        def update(self, n: float | None = 1) -> None:
            nonlocal most
            self.n += int(n or 0)
            if self.counts and self.n >= most:  # received and written are two bars of the same bytes
                most = self.n
                report(Progress(step, self.n, int(self.total)))

        def __enter__(self) -> Bar:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def __getattr__(self, _name: str) -> Callable[..., None]:
            return lambda *_args, **_options: None  # close, refresh, set_description, …

    return Bar
