"""The program at the other end of a mirror. Its text is sent to the remote and runs there as `python3 -c TEXT`, so that
both ends are always of one version. It needs Python 3.8 and nothing else, and it only reads.

Its argument is the request, as JSON in base64. The answer is a list of frames on stdout: a line of JSON, and then as
many bytes as its `size` says. `frames.py` beside this file has their type.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import stat
import sys
import time
from typing import Any, Dict

LOOK_SECONDS = 0.25
BEAT_SECONDS = 5.0  # between two signs of life
CHUNK = 256 * 1024
LOG_CHUNK = 64 * 1024  # of a log at each look, so that events don't wait for a long log
MAX_SMALL = 4 * 2**20
OVERLAP = 4096  # bytes at the end of the mirror that must be the same here
SMALL_FILES = ("config.json", "process.json", "keeper.json", "exit.json", "control")
RANK_LOG = re.compile(r"rank-[0-9]{1,4}\.log")

Request = Dict[str, Any]


def send(kind: str, data: bytes = b"", **values: Any) -> None:
    header = json.dumps({"kind": kind, "size": len(data), **values})
    sys.stdout.buffer.write(header.encode() + b"\n" + data)
    sys.stdout.buffer.flush()


def open_plain(path: str, flags: int) -> int:
    """Open a regular file. A pipe would block for ever, and a link may lead anywhere."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is not a file")
    return descriptor


def read_small(path: str) -> bytes | None:
    """Read a small file. Returns None if there is none."""
    try:
        with open(path, "rb", opener=open_plain) as file:
            data = file.read(MAX_SMALL + 1)
    except OSError:
        return None
    return data if len(data) <= MAX_SMALL else None


def read_json(path: str) -> dict[str, Any]:
    try:
        values = json.loads(read_small(path) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def is_run(folder: str, request: Request) -> bool:
    """Whether `folder` is the run that was sent. Its config.json keeps both values, whatever the folder is called."""
    config = read_json(os.path.join(folder, "config.json"))
    return config.get("created") == request["created"] and config.get("name") == request["name"]


def find_run(request: Request) -> str:
    """Return the folder of the run, which someone may have renamed; "" if there is none."""
    folder = os.path.expanduser(request["folder"])
    if is_run(folder, request):
        return folder
    runs = os.path.dirname(folder)
    names = sorted(os.listdir(runs)) if os.path.isdir(runs) else []
    renamed = [path for path in (os.path.join(runs, name) for name in names) if is_run(path, request)]
    # A run is not deleted only because its config.json is damaged.
    damaged = folder if os.path.isdir(folder) and not read_json(folder + "/config.json") else ""
    return renamed[0] if renamed else damaged


def locate(descriptor: int) -> str:
    """Return the present path of an open folder; "" if it was deleted."""
    place = ""
    while (newest := os.readlink("/proc/self/fd/%d" % descriptor)) != place:
        place = newest
        if os.path.isdir(place) and os.path.samestat(os.stat(place), os.fstat(descriptor)):
            return place
    return ""


def lives(path: str) -> bool:
    """Whether the process in an identity file lives. The rule is that of `training.contract.process`."""
    identity = read_json(path)
    try:
        with open("/proc/%d/stat" % identity["pid"], "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open("/proc/sys/kernel/random/boot_id") as text:
            boot = text.read().strip()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return fields[0] not in (b"Z", b"X") and started == identity["create_time"] and boot == identity["boot"]
    except (OSError, KeyError, TypeError, ValueError):
        return False


def is_live(folder: str) -> bool:
    return lives(folder + "/keeper.json") or lives(folder + "/process.json")


class Growing:
    """A file that is only appended to, and how much of it the mirror has."""

    def __init__(self, folder: str, name: str, offset: int, tail_hash: str) -> None:
        self.path, self.name, self.offset = os.path.join(folder, name), name, offset
        self.tail_hash = tail_hash
        self.tail: bytes | None = None  # the last bytes that the mirror has; None: only their checksum is known

    def send_new(self, max_bytes: int) -> None:
        """Send what was appended. If the file does not begin with what the mirror has, send all of it."""
        try:
            descriptor = open_plain(self.path, os.O_RDONLY)
        except OSError:
            return  # the mirror keeps what it has
        try:
            size = os.fstat(descriptor).st_size
            if not self.continues(descriptor, size):
                self.offset, self.tail, max_bytes = 0, b"", size
                send("restart", name=self.name, end=not size)
            while self.offset < size and max_bytes > 0:
                data = os.pread(descriptor, min(CHUNK, size - self.offset), self.offset)
                if not data:
                    break  # it was cut just now
                send("data", data, name=self.name, offset=self.offset, end=self.offset + len(data) >= size)
                self.offset += len(data)
                self.tail = ((self.tail or b"") + data)[-OVERLAP:]
                max_bytes -= len(data)
        finally:
            os.close(descriptor)

    def continues(self, descriptor: int, size: int) -> bool:
        if size < self.offset:
            return False
        if self.tail is not None and size == self.offset:
            return True
        length = min(self.offset, OVERLAP)
        tail, known = os.pread(descriptor, length, self.offset - length), self.tail
        self.tail = tail
        return tail == known if known is not None else not length or hashlib.sha256(tail).hexdigest() == self.tail_hash


def find(request: Request) -> None:
    """Send where the run is, and whether it is live."""
    folder = find_run(request)
    if folder:
        send("state", live=is_live(folder), folder=folder)
    else:
        send("missing")


def watch(request: Request) -> None:
    """Send what the mirror does not have of the run. Unless `once` is set, go on while the run lives."""
    path = find_run(request)
    if not path:
        send("missing")
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    folder = "/proc/self/fd/%d" % descriptor  # which leads there, whoever renames it
    growing: dict[str, Growing] = {}
    hashes, next_beat, shown = dict(request["hashes"]), 0.0, None
    while True:
        # This comes before the files: if no process lives, nothing is written after they are read.
        live = is_live(folder)
        small = {name: read_small(os.path.join(folder, name)) for name in SMALL_FILES}
        for name in ["events.jsonl", "trainer.log", *filter(RANK_LOG.fullmatch, os.listdir(folder + "/."))]:
            if name not in growing:
                growing[name] = Growing(folder, name, *request["files"].get(name, (0, "")))
            in_parts = live and not request["once"] and name != "events.jsonl"
            growing[name].send_new(LOG_CHUNK if in_parts else sys.maxsize)
        for name, data in small.items():
            digest = "" if data is None else hashlib.sha256(data).hexdigest()
            if digest != hashes.get(name, ""):
                hashes[name] = digest
                send("file", data or b"", name=name, gone=data is None)
        place, now = locate(descriptor), time.monotonic()
        if not place:
            send("missing")
            return
        if now >= next_beat or (live, place) != shown:
            next_beat, shown = now + BEAT_SECONDS, (live, place)
            send("state", live=live, folder=place)
        if request["once"] or not live:
            return
        time.sleep(LOOK_SECONDS)


def hash_file(path: str) -> tuple[int, str]:
    digest, size, next_beat = hashlib.sha256(), 0, time.monotonic() + BEAT_SECONDS
    with open(path, "rb", opener=open_plain) as file:
        while data := file.read(2**20):
            digest.update(data)
            size += len(data)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + BEAT_SECONDS
                send("beat")
    return size, digest.hexdigest()


def hash_files(folder: str) -> dict[str, tuple[int, str]]:
    """Return size and checksum of each regular file below `folder`, by its path in it."""
    hashes = {}
    for place, _, names in os.walk(folder):
        for path in (os.path.join(place, name) for name in names):
            try:
                hashes[os.path.relpath(path, folder)] = hash_file(path)
            except OSError:
                continue  # a link, or it was deleted just now
    return hashes


def list_results(request: Request) -> None:
    """List the files in the folders of the run that are fetched."""
    folder = find_run(request)
    listed = {name: hash_files(os.path.join(folder, name)) for name in request["folders"]} if folder else {}
    send("listing", json.dumps(listed).encode())


COMMANDS = {command.__name__: command for command in (find, watch, list_results)}


def main() -> None:
    request = json.loads(base64.b64decode(sys.argv[1]))
    try:
        COMMANDS[request["command"]](request)
    except BrokenPipeError:
        os._exit(0)  # nobody reads any more


if __name__ == "__main__":
    main()
