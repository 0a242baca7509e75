"""What listing a dataset costs, in one run: `python tests/benchmarks/dataset_list.py [--python TRAINING_PYTHON]`.

Makes a set like the first user's and one of a gigabyte, and opens each in a process of its own: anew, with the file out
of the system's memory, and as the next time finds it; then on the data screen, in turn with a file of three rows. With
the interpreter of the environment `codex-train`, the same files go through `datasets.load_dataset` with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probe import Probe

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SCREEN = 40  # rows
LOOKS = 2000  # at rows anywhere
STARTS = 5  # of the app, on each file
FIRST_ROW = r"▌ +1 +\S"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="the training environment's interpreter, for load_dataset")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the large set (2,000,000)")
    parser.add_argument("--bytes", default="1GB", help="of the large set (1GB)")
    parser.add_argument("--measure", nargs=2, type=Path, metavar=("FILE", "CACHE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(*args.measure)))
        return 0
    with tempfile.TemporaryDirectory(prefix="codex-tui-benchmark-") as folder:
        sets = [
            made(Path(folder) / "first_user.jsonl", "--rows", "16069"),
            made(Path(folder) / "large.jsonl", "--rows", str(args.rows), "--bytes", args.bytes),
        ]
        found = [figures(path, args.python) for path in sets]
    print(f"{'figure':52} {found[0]['rows']:>12,} {found[1]['rows']:>12,} rows")
    for name, shown in FIGURES.items():
        if name in found[0]:
            print(f"{TOLD[name]:52} {shown(found[0][name]):>12} {shown(found[1][name]):>12}   {TARGETS.get(name, '')}")
    return 0


def seconds(value: float) -> str:
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    return f"{value:.2f} s" if value >= 0.995 else f"{value * 1e3:.1f} ms"


def mib(value: float) -> str:
    return f"{value:.1f} MiB" if value < 10 else f"{value:.0f} MiB"


def times(value: float) -> str:
    return f"{value:,.0f} x"


FIGURES: dict[str, Callable[[float], str]] = {
    "size": mib,
    "first": seconds,
    "first_cold": seconds,
    "complete": seconds,
    "complete_cold": seconds,
    "again": seconds,
    "look": seconds,
    "worst_look": seconds,
    "search": seconds,
    "all": seconds,
    "fingerprint": seconds,
    "kept": mib,
    "memory": mib,
    "screen_few": seconds,
    "screen_first": seconds,
    "screen_complete": seconds,
    "screen_memory": mib,
    "load": seconds,
    "load_memory": mib,
    "ratio_first": times,
    "ratio_complete": times,
}
TOLD = {
    "size": "file",
    "first": f"first {SCREEN} rows read, never opened",
    "first_cold": "    file not in the system's memory",
    "complete": "index complete, never opened",
    "complete_cold": "    file not in the system's memory",
    "again": "index complete, opened before",
    "look": "a row anywhere, median",
    "worst_look": "    worst, while the index is built or after",
    "search": "text that is nowhere, searched to the end",
    "all": "every row read and parsed in turn",
    "fingerprint": "fingerprint, once",
    "kept": "index kept on disk",
    "memory": "peak memory of the process",
    "screen_few": "data screen: first row of three, from the launch",
    "screen_first": "    first row of this file",
    "screen_complete": "    all rows counted",
    "screen_memory": "    peak memory of the app by then",
    "load": "datasets.load_dataset, empty cache",
    "load_memory": "    peak memory of the process",
    "ratio_first": "load_dataset over first rows",
    "ratio_complete": "load_dataset over complete index",
}
TARGETS = {
    "first": "<= 100 ms, <= 2 s",
    "memory": "< 300 MB",
    "screen_first": "<= 100 ms, <= 2 s more than three rows",
    "screen_memory": "< 300 MB",
}


def made(path: Path, *options: str) -> Path:
    subprocess.run([sys.executable, str(HERE / "make_dataset.py"), str(path), *options], check=True)
    return path


def figures(path: Path, python: str | None) -> dict[str, float]:
    cache = path.with_suffix("")
    command = [sys.executable, str(Path(__file__)), "--measure", str(path), str(cache)]
    found, found["memory"] = told(command)
    found |= on_screen(path, int(found["rows"]))
    if python:
        loaded, peak = told([python, str(HERE / "load_dataset.py"), str(path), str(cache / "loaded")])
        found["load"], found["load_memory"] = loaded["seconds"], peak
        found |= {f"ratio_{name}": loaded["seconds"] / found[name] for name in ("first", "complete")}
        assert loaded["rows"] == found["rows"]
    return found


def on_screen(path: Path, rows: int) -> dict[str, float]:
    """Medians of starts that find nothing kept."""
    few = path.with_name("few.jsonl")
    with path.open("rb") as file:
        few.write_bytes(b"".join(file.readline() for _ in range(3)))
    taken: dict[str, list[float]] = {name: [] for name in FIGURES if name.startswith("screen")}
    for _ in range(STARTS):
        for each in (few, path):
            with tempfile.TemporaryDirectory() as home:
                env = {"CODEX_TUI_HOME": home, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
                with Probe([sys.executable, "-m", "codex_tui", "data", "view", str(each)], env=env) as probe:
                    taken["screen_few" if each == few else "screen_first"].append(probe.until(FIRST_ROW))
                    if each == path:
                        taken["screen_complete"].append(probe.until(rf"\b{rows:,} rows"))
                        taken["screen_memory"].append(peak(probe.pid))
    return {name: statistics.median(values) for name, values in taken.items()}


def peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def told(command: list[str]) -> tuple[dict[str, Any], float]:
    """What `command` prints last, and the most memory that it held, in MiB."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[:3]} ended with {status}")
    return json.loads(output.splitlines()[-1]), usage.ru_maxrss / 1024


def measured(path: Path, cache: Path) -> dict[str, float]:
    from training.dataset.index import RowIndex
    from training.dataset.source import Source

    source = Source(path.name, (path,))
    found: dict[str, float] = {"size": path.stat().st_size / 2**20}

    def opened(folder: str) -> tuple[RowIndex, float, float, list[float]]:
        """The index; the seconds until the first rows were there and until all were; what looks took meanwhile."""
        began = time.perf_counter()
        index = RowIndex(source, cache / folder)
        builder = threading.Thread(target=index.build)
        builder.start()
        while len(index) < SCREEN and builder.is_alive():
            time.sleep(0.0002)
        for position in range(SCREEN):
            index.record(position)
        first = time.perf_counter() - began
        looks = []
        while builder.is_alive():
            looks.append(look(index))
            builder.join(0.02)
        return index, first, time.perf_counter() - began, looks

    index, found["first"], found["complete"], meanwhile = opened("warm")
    found["rows"] = len(index)
    found["again"] = opened("warm")[2]
    looks = [look(index) for _ in range(LOOKS)]
    found["look"], found["worst_look"] = statistics.median(looks), max(looks + meanwhile)
    found["search"] = timed(lambda: list(index.search("Nowhere Found")))
    found["all"] = timed(lambda: sum(1 for _ in index.records()))
    found["fingerprint"] = timed(index.fingerprint)
    found["kept"] = sum(place.stat().st_size for place in (cache / "warm").rglob("*.*")) / 2**20
    with path.open("rb") as file:
        os.fdatasync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    _, found["first_cold"], found["complete_cold"], _ = opened("cold")
    return found


def look(index: Any) -> float:
    return timed(lambda: index.record(random.randrange(len(index))))


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
