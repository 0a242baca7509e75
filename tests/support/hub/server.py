"""A Hub over HTTP, as far as `huggingface_hub` needs one: repositories in memory, and a record of every request.

It can end in the middle of a transfer. Then nothing listens on its port until `start()`; it keeps what it had.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from support.hub.store import Repo, Request

CHUNK = 1 << 16


@dataclass
class Hub:
    """`large_from`: the size in bytes from which a file is sent by LFS, in parts of `part` bytes if that is set.

    `dies_after`: the bytes of a transfer after which the server ends. `endless`: a part of the paths whose answers have
    no end; they are compressed if `compresses`.
    """

    token: str
    large_from: int = 4096
    part: int | None = None
    dies_after: int | None = None
    endless: str = ""
    compresses: bool = False
    repos: dict[tuple[str, str], Repo] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def dataset(self, name: str) -> Repo:
        return self.repos["dataset", name]

    def add(self, kind: str, name: str, files: dict[str, bytes], *, private: bool = True, gated: bool = False) -> Repo:
        repo = self.repos[kind, name] = Repo(kind, name, private, gated)
        repo.large = {path for path, content in files.items() if len(content) >= self.large_from}
        repo.commit(files)
        return repo

    def writes(self) -> list[Request]:
        """The requests that changed something or sent bytes."""
        return [request for request in self.requests if request.method not in ("GET", "HEAD")]

    def start(self) -> None:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), type("Handler", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        self._server, self.port = server, server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        if server := self._server:
            server.shutdown()
            server.server_close()
            self._server = None  # by now the port is free for the next one


class _ServerDied(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        self.hub.requests.append(Request(self.command, path, size, given, self.headers.get("Range")))
        try:
            body = self._read(size)
            if given not in (None, self.hub.token) and not path.startswith("/lfs/"):
                return self._error(401, "", "Invalid username or password.")
            self._route(path, query, body, given == self.hub.token)
        except _ServerDied:
            self.close_connection = True
            threading.Thread(target=self.hub.stop).start()
            self.connection.close()

    def _read(self, size: int) -> bytes:
        if self.command != "PUT" or self.hub.dies_after is None:
            return self.rfile.read(size)
        self.rfile.read(min(size, self.hub.dies_after))
        self.hub.dies_after = None
        raise _ServerDied

    def _route(self, path: str, query: dict[str, list[str]], body: bytes, authorized: bool) -> None:
        for method, pattern, answer in _ROUTES:
            if method == self.command.replace("HEAD", "GET") and (found := re.fullmatch(pattern, path)):
                return answer(self, {**found.groupdict(), **{key: v[0] for key, v in query.items()}}, body, authorized)
        return self._error(404, "", f"no route for {self.command} {path}")

    def _repo(self, parameters: dict[str, str], authorized: bool) -> Repo | None:
        kind = (parameters.get("kind") or "model").rstrip("s")
        repo = self.hub.repos.get((kind, parameters["name"]))
        if repo is None or (repo.private and not authorized):
            self._error(404 if authorized else 401, "RepoNotFound", "Repository not found")
        elif repo.gated:
            self._error(403, "GatedRepo", "Access to this repository is restricted")
        else:
            return repo
        return None

    def _create(self, _parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        if not authorized:
            return self._error(401, "", "Invalid username or password.")
        request = json.loads(body)
        self.hub.created.append(request)
        kind, name = request.get("type", "model"), f"{request['organization']}/{request['name']}"
        if request["organization"] == "others":
            return self._error(403, "", "You don't have the rights to create a repository under this namespace")
        if (kind, name) in self.hub.repos:
            return self._error(409, "", "You already created this repo")
        self.hub.add(kind, name, {".gitattributes": b""}, private=request.get("visibility") != "public")
        return self._json({"url": f"{self.hub.url}/{'datasets/' if kind == 'dataset' else ''}{name}", "name": name})

    def _settings(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        if repo := self._repo(parameters, authorized):
            repo.private = json.loads(body)["visibility"] != "public"
            self._json({})

    def _info(self, parameters: dict[str, str], _body: bytes, authorized: bool) -> None:
        if not (repo := self._repo(parameters, authorized)):
            return None
        if not (commit := repo.at(parameters.get("revision") or "main")):
            return self._error(404, "RevisionNotFound", "Invalid rev id")
        siblings = [{"rfilename": name, "size": len(content)} for name, content in commit.files.items()]
        answer = {"id": repo.name, "sha": commit.sha, "private": repo.private, "siblings": siblings, "tags": []}
        return self._json({**answer, "lastModified": _stamp(commit.date), "downloads": 0, "likes": 0})

    def _tree(self, parameters: dict[str, str], _body: bytes, authorized: bool) -> None:
        if not (repo := self._repo(parameters, authorized)):
            return None
        if not (commit := repo.at(parameters["revision"])):
            return self._error(404, "RevisionNotFound", "Invalid rev id")
        return self._json([repo.entry(name, content) for name, content in commit.files.items()])

    def _paths(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        """With the commit in which each last changed."""
        if not (repo := self._repo(parameters, authorized)):
            return
        answer = []
        for name in parse_qs(body.decode())["paths"]:
            if (content := repo.commits[-1].files.get(name)) is not None:
                last = next(commit for commit in repo.commits if commit.files.get(name) == content)
                date = {"id": last.sha, "title": last.message, "date": _stamp(last.date)}
                answer.append({**repo.entry(name, content), "lastCommit": date})
        self._json(answer)

    def _resolve(self, parameters: dict[str, str], _body: bytes, authorized: bool) -> None:
        if not (repo := self._repo(parameters, authorized)):
            return None
        if not (commit := repo.at(parameters["revision"])):
            return self._error(404, "RevisionNotFound", "Invalid rev id")
        if (content := commit.files.get(parameters["file"])) is None:
            return self._error(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{repo.etag(parameters["file"], content)}"'}
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if begin:
            first = int(begin[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            return self._send(206, content[first:], headers)
        return self._send(200, content, headers)

    def _preupload(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        if not (repo := self._repo(parameters, authorized)):
            return
        answer = []
        for file in json.loads(body)["files"]:
            old = repo.commits[-1].files.get(file["path"])
            mode = "lfs" if file["size"] >= self.hub.large_from else "regular"
            oid = None if old is None else repo.etag(file["path"], old)
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answer})

    def _batch(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        if not self._repo(parameters, authorized):
            return
        objects = []
        for wanted in json.loads(body)["objects"]:
            if wanted["oid"] not in self.hub.blobs:
                href = f"{self.hub.url}/lfs/{wanted['oid']}"
                wanted["actions"] = {"upload": {"href": href}}
                if part := self.hub.part:
                    urls = {f"{n + 1:05}": f"{href}/{n}" for n in range(-(-wanted["size"] // part))}
                    wanted["actions"]["upload"]["header"] = {"chunk_size": str(part), **urls}
            objects.append(wanted)
        self._json({"transfer": "basic", "objects": objects})

    def _put(self, parameters: dict[str, str], body: bytes, _authorized: bool) -> None:
        if hashlib.sha256(body).hexdigest() != parameters["oid"]:
            return self._error(400, "", "The checksum is wrong")
        self.hub.blobs[parameters["oid"]] = body
        return self._json({})

    def _put_part(self, parameters: dict[str, str], body: bytes, _authorized: bool) -> None:
        self.hub.blobs[f"{parameters['oid']}/{parameters['part']}"] = body
        self._send(200, b"{}", {"ETag": f'"part-{parameters["part"]}"'})

    def _join(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        parts = range(len(json.loads(body)["parts"]))
        self._put(parameters, b"".join(self.hub.blobs[f"{parameters['oid']}/{part}"] for part in parts), authorized)

    def _commit(self, parameters: dict[str, str], body: bytes, authorized: bool) -> None:
        if not (repo := self._repo(parameters, authorized)):
            return
        changes, message = {}, ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.large.add(value["path"])
                changes[value["path"]] = self.hub.blobs[value["oid"]]
        made = repo.commit(changes, message)
        self._json({"commitUrl": f"{self.hub.url}/{repo.name}/commit/{made.sha}", "commitOid": made.sha})

    def _validate(self, _parameters: dict[str, str], body: bytes, _authorized: bool) -> None:
        front = json.loads(body)["content"].startswith("---\n")
        self._json({"errors": [], "warnings": [] if front else [{"message": "empty or missing yaml metadata"}]})

    def _json(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, "Content-Type": "application/json"}
        self._send(
            status, json.dumps({"error": message}).encode(), {**headers, **({"X-Error-Code": code} if code else {})}
        )

    def _send_without_end(self, headers: dict[str, str]) -> None:
        self.close_connection = True
        self.send_response(200)
        encoding = {"Content-Encoding": "gzip"} if self.hub.compresses else {}
        for name, value in {**headers, **encoding, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the client hangs up
            compressor, block = zlib.compressobj(wbits=31), b'{"id":"' + b"x" * CHUNK
            while True:
                self.wfile.write(compressor.compress(block) if self.hub.compresses else block)
                block = b"x" * CHUNK

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        if self.command == "GET" and self.hub.endless and self.hub.endless in self.path:
            return self._send_without_end(headers)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.hub.dies_after is not None and len(content) > self.hub.dies_after:
            self.wfile.write(content[: self.hub.dies_after])
            self.wfile.flush()
            self.hub.dies_after = None
            raise _ServerDied
        for start in range(0, len(content), CHUNK):
            self.wfile.write(content[start : start + CHUNK])


def _stamp(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


_NAME = r"(?P<name>[^/]+/[^/]+)"
_API = rf"/api/(?P<kind>datasets|models)/{_NAME}"
_FILES = rf"/(?:(?P<kind>datasets)/)?{_NAME}"
_ROUTES: list[tuple[str, str, Any]] = [
    ("POST", r"/api/repos/create", _Handler._create),
    ("POST", r"/api/validate-yaml", _Handler._validate),
    ("PUT", rf"{_API}/settings", _Handler._settings),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler._preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler._commit),
    ("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)", _Handler._paths),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)", _Handler._tree),
    ("GET", rf"{_API}(?:/revision/(?P<revision>[^/]+))?", _Handler._info),
    ("POST", rf"{_FILES}\.git/info/lfs/objects/batch", _Handler._batch),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler._put),
    ("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})/(?P<part>\d+)", _Handler._put_part),
    ("POST", r"/lfs/(?P<oid>[0-9a-f]{64})", _Handler._join),
    ("GET", rf"{_FILES}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler._resolve),
]
