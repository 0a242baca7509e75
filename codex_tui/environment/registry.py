"""Downloads one file from a package registry, as pip is configured, and checks its hash.

uv installs packages, and this is for a source archive of which only some files are used: uv would build it.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from codex_tui.base import locations
from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.environment.uv import read_pip_options

PYPI = "https://pypi.org/simple"
CHUNK_BYTES = 2**20
MAX_PAGE_BYTES = 2**24  # of the list of a project's files
DEFAULT_TIMEOUT_SECONDS = 60.0


def download(project: str, name: str, sha256: str, target: Path, report: OnProgress) -> None:
    """Download the file `name` of `project` to `target`. Raises EnvironmentMissing if no registry has the file, or if
    its hash is another one."""
    options = read_pip_options()
    opener, timeout = _make_opener(options), float(options.get("timeout") or DEFAULT_TIMEOUT_SECONDS)
    problems = []
    for place in _list_places(options, project):
        try:
            url = _find_url(opener, place, name, timeout)
            if url:
                _fetch(opener, url, name, sha256, target, timeout, report)
                return
        except (OSError, HTTPException, ValueError) as error:  # URLError is an OSError; a page may be no text
            if isinstance(error, OSError) and error.filename:  # the disk, not the network
                raise
            problems.append(f"{place}: {getattr(error, 'reason', None) or error}")
    if problems:
        raise EnvironmentMissing(
            f"{name} can't be downloaded: {problems[0]}",
            "Check the network and pip's settings (`python -m pip config list`).",
        )
    raise EnvironmentMissing(
        f"The package registry does not have {name}",
        "Check pip's index-url and find-links: `python -m pip config list`.",
    )


def _make_opener(options: Mapping[str, str]) -> urllib.request.OpenerDirector:
    """Make an opener with the certificates and the proxy of pip. It also opens file: URLs."""
    handlers: list[urllib.request.BaseHandler] = []
    if certificates := options.get("cert"):
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certificates)))
    if proxy := options.get("proxy"):
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return urllib.request.build_opener(*handlers)


def _list_places(options: Mapping[str, str], project: str) -> Iterator[str]:
    """List the pages that may link the file, and the folders that may have it."""
    for place in options.get("find-links", "").split():
        yield place if "://" in place else str(locations.expand_home(place).absolute())
    if options.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return
    for index in (options.get("index-url") or PYPI, *options.get("extra-index-url", "").split()):
        yield f"{index.rstrip('/')}/{project}/"


def _find_url(opener: urllib.request.OpenerDirector, place: str, name: str, timeout: float) -> str:
    """Return the URL of the file `name` that `place` has or links, or "" if it has none."""
    if "://" not in place:
        path = Path(place) / name
        return path.as_uri() if path.is_file() else ""
    if place.startswith("file://"):  # a registry in folders has a page for each project
        folder = Path(unquote(urlsplit(place).path))
        if (folder / name).is_file():
            return (folder / name).as_uri()
        if not (folder / "index.html").is_file():
            return ""
        place = (folder / "index.html").as_uri()
    try:
        with opener.open(urllib.request.Request(place, headers={"Accept": "text/html"}), timeout=timeout) as answer:
            page, address = answer.read(MAX_PAGE_BYTES).decode(), answer.geturl()
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return ""
        raise
    for link in re.findall(r"""href=["']([^"']+)["']""", page):
        url = urljoin(address, link.replace("&amp;", "&")).partition("#")[0]
        if unquote(urlsplit(url).path).rpartition("/")[2] == name:
            return url
    return ""


def _fetch(
    opener: urllib.request.OpenerDirector,
    url: str,
    name: str,
    sha256: str,
    target: Path,
    timeout: float,
    report: OnProgress,
) -> None:
    """Download `url` to `target`."""
    digest = hashlib.sha256()
    with opener.open(url, timeout=timeout) as answer, target.open("wb") as file:
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            report(Progress(f"downloading {name}", done, total))
    if digest.hexdigest() != sha256:
        target.unlink()
        raise EnvironmentMissing(
            f"{name} from {urlsplit(url).netloc or url} is not the expected file: its SHA-256 is {digest.hexdigest()}",
            "Try it again. If it stays so, look at the registry that pip is set to: `python -m pip config list`.",
        )
