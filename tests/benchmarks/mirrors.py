"""Kills viewers and connections while a run is mirrored over a real ssh: `python tests/benchmarks/mirrors.py [ROUNDS]`

Two viewers follow one run. In each round one of them is killed, or all sessions of sshd, or the link is cut, after a
random time; and `events.jsonl` here must be the beginning of the one over there. In the end both must be equal. A
viewer that was killed is started again at once.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from support.config_file import write_config  # noqa: E402
from support.kept_runs import until  # noqa: E402
from support.sshd import Box, start_box  # noqa: E402

from codex_tui.engines.refresh import refresh  # noqa: E402
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote  # noqa: E402
from training.contract.engine import EngineRecord  # noqa: E402
from training.contract.process import ProcessIdentity  # noqa: E402
from training.contract.run_directory import RunDirectory  # noqa: E402

EVENTS = 50  # at a time
FOLLOW = """
import sys, time
from pathlib import Path
from codex_tui.engines.ssh.engine import SshEngine
from training.contract.run_directory import RunDirectory
while True:
    SshEngine().follow(RunDirectory(Path(sys.argv[1])), lambda: True)
    time.sleep(0.05)
"""


def make_run(folder: Path) -> RunDirectory:
    run = RunDirectory(folder)
    run.create()
    write_config(run, {"name": folder.name, "created": 1.5})
    return run


def write_events(run: RunDirectory, first: int) -> None:
    with run.events.open("ab") as file:
        file.writelines(
            b'{"type":"metrics","v":1,"seq":%d,"loss":%f}\n' % (n, n**0.5) for n in range(first, first + EVENTS)
        )


def start_viewer(run: RunDirectory) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", FOLLOW, str(run.path)], env=os.environ | {"PYTHONPATH": sys.path[1]})


def main(rounds: int) -> None:
    dice, done = random.Random(11), Counter[str]()
    with tempfile.TemporaryDirectory() as folder, start_box(Path(folder, "box")) as box:
        os.environ["PATH"] = f"{box.folder / 'bin'}:{os.environ['PATH']}"
        os.environ["CODEX_TUI_HOME"] = f"{folder}/here"
        os.environ["XDG_RUNTIME_DIR"] = folder
        add_remote(Remote("box", "box", str(box.home / "codex-tui")))
        there = make_run(box.home / "codex-tui" / "data" / "runs" / "a")
        here = make_run(Path(folder, "here", "data", "runs", "a"))
        here.write_engine(EngineRecord("ssh", host="box", folder=str(there.path), status="running"))
        there.write_keeper(ProcessIdentity.current())
        viewers, written = [start_viewer(here), start_viewer(here)], 0
        for _ in range(rounds):
            before = here.events.stat().st_size if here.events.exists() else 0
            wanted = before + dice.randrange(1, 200_000)
            while not here.events.exists() or here.events.stat().st_size < wanted:
                write_events(there, written)
                written += EVENTS
                time.sleep(0.005)
            way = dice.choice(["viewer killed", "viewer killed", "sessions killed", "link cut"])
            done[way] += 1
            disturb(way, box, here, viewers, dice)
            data, whole = here.events.read_bytes(), there.events.read_bytes()
            assert whole.startswith(data), f"after {way}: {len(data)} bytes are no beginning"
        there.keeper.unlink()
        for viewer in viewers:
            viewer.kill()
            viewer.wait()
        until(lambda: (record := refresh(here)) and record.status == "gone")
        assert here.events.read_bytes() == there.events.read_bytes()
        print(dict(done), f"{here.events.stat().st_size:,} bytes are equal")


def disturb(
    way: str, box: Box, here: RunDirectory, viewers: list[subprocess.Popen[bytes]], dice: random.Random
) -> None:
    if way == "viewer killed":
        number = dice.randrange(2)
        viewers[number].kill()
        viewers[number].wait()
        viewers[number] = start_viewer(here)
    elif way == "sessions killed":
        box.kill_sessions()
    else:
        box.link.cut()
        box.link.restore()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
