"""The run directory: everything about a run is on disk, so that a viewer can open and close at any time.

    profile.toml    a copy of the chosen profile file
    config.json     the settings and what really ran; see `training.contract.config`
    book.jsonl      a copy of the questions that the profile's evaluation.book names; see `training.dataset.book`
    engine.json     where it runs, if not here; see `training.contract.engine`
    keeper.json     the process that keeps the run: it starts each trainer, and decides what comes after its end
    process.json    the trainer: pid, create time and boot, so that no other process gets its signals
    history         state and curve from events.jsonl in columns; see `training.history.columns`. It can be deleted
    events.jsonl    see `training.contract.events`
    trainer.log     stdout and stderr of the trainer
    rank-N.log      the same of each further process, where several train together
    control         a request to the trainer or the keeper: save, terminate, park or resume; then a reason
    exit.json       how the last trainer process ended, if its parent was alive then
    note.txt        a line that the person wrote about the run
    lock            held by the trainer while it lives (flock)
    keeper.lock     held by the keeper while it lives (flock)
    announced       what viewers have told the person, one line each; see `codex_tui.runs.announced`
    checkpoints/    checkpoint-N folders as `transformers.Trainer` writes them
    adapter/        the result, in plain PEFT layout
    judgements/     how the adapter answers the questions of a book; see `training.contract.judgement`
    questions/      what viewers ask the trainer, and its answers; see `training.contract.questions`
    trackers/       where trackers keep the run's curves; see `training.contract.trackers`
    loans/          the chats for which the keeper parks the run; see `training.contract.loan`
    exports/        exported models, a folder for each kind of export; see `codex_tui.export.steps`

Folders are 0700 and files 0600. No token or secret is ever written here.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from training.contract import files
from training.contract.control import Request, StopLevel, format_request, read_request
from training.contract.engine import EngineRecord, has_news, read_record, write_record
from training.contract.origin import encode, is_copied
from training.contract.process import Exit, ProcessIdentity
from training.contract.signs import lives

ADAPTER_CONFIG = "adapter_config.json"  # PEFT writes it into the folder of an adapter

RESERVED_BYTES = 256 * 1024


class _Inside:
    """The path of a file or folder in a run directory. It is made when it is first used, because a list of thousands
    of runs uses few of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __set_name__(self, owner: type, attribute: str) -> None:
        self._attribute = attribute

    def __get__(self, run: RunDirectory, owner: type) -> Path:
        path: Path = run.path / self._name
        run.__dict__[self._attribute] = path  # which Python finds before it asks here again
        return path


class RunDirectory:
    """Paths and small files of one run. Reading never changes anything; JSON files are replaced atomically."""

    profile = _Inside("profile.toml")
    config = _Inside("config.json")
    engine = _Inside("engine.json")
    keeper = _Inside("keeper.json")
    keeper_lock = _Inside("keeper.lock")
    process = _Inside("process.json")
    exit = _Inside("exit.json")
    reserve = _Inside(".reserve")
    events = _Inside("events.jsonl")
    history = _Inside("history")
    log = _Inside("trainer.log")
    control = _Inside("control")
    note = _Inside("note.txt")
    lock = _Inside("lock")
    announced = _Inside("announced")
    checkpoints = _Inside("checkpoints")
    adapter = _Inside("adapter")
    judgements = _Inside("judgements")
    questions = _Inside("questions")
    loans = _Inside("loans")
    exports = _Inside("exports")
    book = _Inside("book.jsonl")
    trackers = _Inside("trackers")

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = self.path.name

    def rank_log(self, rank: int) -> Path:
        """The file with the output of one of the processes that train together."""
        return self.log if rank == 0 else self.path / f"rank-{rank}.log"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    def create(self) -> None:
        """Creates the directory. Raises FileExistsError if it exists."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.mkdir(mode=0o700)

    @classmethod
    def locate(cls, folder: int) -> RunDirectory | None:
        """Return the run whose open folder is `folder`, by its present name, since someone may have renamed it. Returns
        None if it was deleted. A deletion may be partial: the run's process may have written new files since."""
        link = Path(f"/proc/self/fd/{folder}")
        while True:
            run = cls(link.readlink())
            if run.is_open_as(folder):
                return run
            if link.readlink() == run.path:  # else it was renamed just now
                return None

    def is_open_as(self, folder: int) -> bool:
        """Return whether the folder with the descriptor `folder` is this run's."""
        try:
            same = os.path.samestat(os.fstat(folder), self.path.stat())
        except FileNotFoundError:
            return False
        return same and (self.config.exists() or self.lock.exists())

    def read_process(self) -> ProcessIdentity | None:
        return _read_identity(self.process)

    def write_process(self, identity: ProcessIdentity) -> None:
        files.write_atomically(self.process, encode(identity, self.path))

    def read_keeper(self) -> ProcessIdentity | None:
        return _read_identity(self.keeper)

    def write_keeper(self, identity: ProcessIdentity) -> None:
        files.write_atomically(self.keeper, encode(identity, self.path))

    def read_exit(self) -> Exit | None:
        """Returns how the trainer of process.json ended, or None if that is not known."""
        try:
            exit_ = msgspec.json.decode(files.read(self.exit), type=Exit)
        except (OSError, ValueError, RecursionError):
            return None
        process = self.read_process()
        return exit_ if process and process.pid in (exit_.pid, exit_.parent) else None

    def write_exit(self, exit_: Exit) -> None:
        files.write_atomically(self.exit, msgspec.json.encode(exit_).decode() + "\n")

    def count_event_bytes(self) -> int:
        """Return the size of events.jsonl; 0 if there is none."""
        try:
            return self.events.stat().st_size
        except OSError:
            return 0

    def reserve_room(self) -> None:
        """Reserve disk space in a file. Whoever writes the last event of an attempt deletes it before, so that there
        is room for the event on a full disk."""
        with suppress(OSError):
            descriptor = files.open_to_append(self.reserve)
            try:
                os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
            finally:
                os.close(descriptor)

    def read_engine(self) -> EngineRecord | None:
        """Read where the run was sent. None: it is a local run."""
        return read_record(self.engine)

    def is_mirror(self) -> bool:
        """Whether another machine has the run, and this folder only its files that were fetched."""
        record = self.read_engine()
        return record is not None and bool(record.folder)

    def write_engine(self, record: EngineRecord) -> None:
        write_record(self.engine, record)

    def is_trainer_alive(self) -> bool:
        if record := self.read_engine():
            return record.status != "waiting" and self._is_live_on(record, held=False)
        identity = self.read_process()
        return identity is not None and self.trains(identity)

    def trains(self, trainer: ProcessIdentity) -> bool:
        """Whether `trainer`, from process.json, lives. One of another machine lives as long as its keeper has not ended
        and it writes."""
        if trainer.is_elsewhere() and not self.keeper.exists():
            return False
        return lives(trainer, self.events)

    def is_kept(self) -> bool:
        """Whether a keeper lives, which may start the next trainer."""
        if record := self.read_engine():
            return self._is_live_on(record)
        identity = self.read_keeper()
        return identity is not None and self.keeps(identity)

    def keeps(self, keeper: ProcessIdentity) -> bool:
        """Whether `keeper`, from keeper.json, lives. One of another machine lives as long as it gives signs, or its
        trainer does."""
        return lives(keeper, self.keeper_lock, self.events)

    def is_live(self) -> bool:
        """Whether a trainer or a keeper lives: the run has not ended."""
        return self.is_kept() or self.is_trainer_alive()

    def _is_live_on(self, record: EngineRecord, *, held: bool = True) -> bool:
        """Whether the run has not ended on its engine. With `held` False, whether a trainer runs there, as far as is
        known. The processes of this machine are not looked at: another machine's have the same numbers."""
        from training.contract.end_event import read_end_event  # slow to import; few runs need it
        from training.contract.events import Failed, Held

        if record.status == "gone" and not has_news(record, self.events):
            return False
        end = read_end_event(self.events, record.offset)
        if isinstance(end, Held):
            return held
        return end is None or (isinstance(end, Failed) and record.status == "running")  # its keeper may heal it

    def find_host(self) -> str:
        """Return the name of the other machine that shares this folder, and trains or keeps this run now; "" if there
        is none. Of a run that was sent to an engine, only its record says where it is."""
        if self.read_engine():
            return ""
        for identity in (self.read_keeper(), self.read_process()):
            if identity is not None and identity.is_elsewhere() and self.is_live():
                return identity.host
        return ""

    def give_sign(self) -> None:
        """Show other machines that share this folder that the keeper lives. Call it every SIGN_SECONDS."""
        with suppress(OSError):
            os.utime(self.keeper_lock)

    def request_stop(self, level: StopLevel = "save", reason: str = "", ends: str = "") -> None:
        """Ask the trainer to stop; see `Request`. A keeper without a trainer understands it too."""
        self.write_request(Request(level, reason, ends))

    def write_request(self, request: Request) -> None:
        files.write_atomically(self.control, format_request(request))

    def read_request(self) -> Request | None:
        return read_request(self.control)

    def take_request(self) -> Request | None:
        """Read the request and remove it, in one step: none that comes meanwhile is lost."""
        taken = self.control.with_name(f".{self.control.name}.taken")
        try:
            self.control.rename(taken)
        except OSError:
            return None
        request = read_request(taken)
        with suppress(OSError):
            taken.unlink()
        return request

    def read_stop_request(self) -> StopLevel | None:
        request = self.read_request()
        return None if request is None or request.word == "resume" else request.word

    def clear_stop(self) -> None:
        self.control.unlink(missing_ok=True)

    def has_adapter(self) -> bool:
        return (self.adapter / ADAPTER_CONFIG).is_file()


def _read_identity(path: Path) -> ProcessIdentity | None:
    try:
        data = files.read(path)
        identity = msgspec.json.decode(data, type=ProcessIdentity)
        return identity.disown() if is_copied(data, path.parent) else identity
    except (OSError, ValueError, RecursionError):
        return None
