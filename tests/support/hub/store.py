"""What the tests' Hub keeps in memory: repositories with their commits, and the requests it got."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    message: str
    date: datetime


@dataclass
class Repo:
    """The newest commit is the last one. `large` holds the names of the files that were uploaded by LFS."""

    kind: str
    name: str
    private: bool
    gated: bool = False
    commits: list[Commit] = field(default_factory=list)
    large: set[str] = field(default_factory=set)

    def at(self, revision: str) -> Commit | None:
        if revision in ("main", "HEAD"):
            return self.commits[-1]
        return next((commit for commit in self.commits if commit.sha == revision), None)

    def commit(self, changes: dict[str, bytes], message: str = "", date: datetime | None = None) -> Commit:
        files = {**(self.commits[-1].files if self.commits else {}), **changes}
        seed = f"{self.kind} {self.name} {len(self.commits)} {sorted(changes)}".encode()
        made = Commit(hashlib.sha1(seed).hexdigest(), files, message, date or datetime.now(UTC))
        self.commits.append(made)
        return made

    def etag(self, name: str, content: bytes) -> str:
        if name in self.large:
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    def entry(self, name: str, content: bytes) -> dict[str, Any]:
        """A file as the Hub lists it."""
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": self.etag(name, content)}
        if name in self.large:
            entry["lfs"] = {"oid": entry["oid"], "size": len(content), "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    size: int
    token: str | None
    range: str | None = None
