"""A Slurm cluster of two nodes on this machine: munge, a controller and two slurmd, with ports and files of their own.

`running_cluster` starts it in about two seconds and ends everything that it started. Slurm's programs find the cluster
by SLURM_CONF in `cluster.environ`, and by nothing else: a cluster that this machine belongs to is never asked.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = ("n1", "n2")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun", "setpriv")
NODE_VARIABLE = "CODEX_TEST_NODE"  # names the node in the environment of its slurmd and slurmstepd
WAIT_SECONDS = 60.0

CONFIG = """\
ClusterName=codex
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobRequeue=1
ReturnToService=2
SlurmdTimeout={node_timeout}
SlurmctldTimeout=30
MinJobAge={min_job_age}
KillWait={kill_wait}
SchedulerParameters=bf_interval=2,sched_interval=2
SlurmdParameters=config_overrides
GresTypes=gpu
DefMemPerCPU=500
{more}
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=8000 Gres=gpu:1
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=8000 Gres=gpu:1
PartitionName=gpu Nodes=n1,n2 Default=YES MaxTime=1-00:00:00 State=UP OverSubscribe=NO
PartitionName=short Nodes=n2 MaxTime=00:10:00 State=UP
"""


def find_obstacle() -> str:
    """Say why no cluster can be started here; "" if one can."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        return f"Slurm is not installed (no {missing[0]}): apt-get install slurm-wlm munge"
    return "" if os.getuid() == 0 else "Only root can start Slurm's daemons."


class SlurmCluster:
    """A running cluster. Each method that asks Slurm raises AssertionError where Slurm refuses."""

    def __init__(self, folder: Path, **values: object) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir(parents=True)
        settings = {"node_timeout": 30, "min_job_age": 300, "kill_wait": 30, "more": ""} | values
        self.config = folder / "slurm.conf"
        self.config.write_text(CONFIG.format(folder=folder, user="root", ports=_find_ports(3), **settings))
        (folder / "gres.conf").write_text("NodeName=n[1-2] Name=gpu File=/dev/null\n")
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which Slurm's programs ask this cluster. Nothing of a job around us remains in it."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        return mine | {"SLURM_CONF": str(self.config), "PATH": _path()}

    def start(self) -> None:
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        self._start(
            "munged",
            *("munged", "--foreground", "--force", "--num-threads=2", f"--key-file={self.folder / 'munge.key'}"),
            *(f"--socket={files['socket']}", f"--pid-file={files['pid']}"),
            *(f"--log-file={files['log']}", f"--seed-file={files['seed']}"),
        )
        self._wait(files["socket"].exists, "munged")
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        self.wait_for_nodes()

    def stop(self) -> None:
        """End all jobs and daemons."""
        with suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user=root", timeout=10)
        for node in NODES:
            self.kill_node(node)
        for name in list(self._daemons):
            self._kill(name)

    def ask(self, *command: str, timeout: float = 30, **environ: str) -> str:
        """Run one of Slurm's programs, and return what it prints."""
        done = subprocess.run(
            command, env=self.environ | environ, capture_output=True, text=True, check=False, timeout=timeout
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def read_state(self, job: str) -> str:
        """The state of a job in Slurm's words, such as PENDING; "" once Slurm has forgotten the job."""
        try:
            return self.ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")
        except AssertionError as error:
            if "Invalid job id" in str(error):
                return ""
            raise

    def start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D")
        self._wait(lambda: self._answers("scontrol", "ping"), "slurmctld")

    def stop_controller(self) -> None:
        """End the controller, which saves its state. Nobody answers Slurm's programs then; the jobs go on."""
        self._daemons["slurmctld"].terminate()
        self._daemons.pop("slurmctld").wait()

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node, **{NODE_VARIABLE: node})

    def wait_for_nodes(self) -> None:
        self._wait(
            lambda: self._answers("sinfo", "--noheader", "--states=idle,mixed,allocated", "--format=%D", says="2"),
            "slurmd",
        )

    def kill_node(self, node: str) -> None:
        """Kill a node with all that runs on it, as a loss of power does."""
        self._kill(node)
        steps = [pid for pid in _list_pids() if _read_environ(pid).get(NODE_VARIABLE) == node and self._is_mine(pid)]
        for pid in [*steps, *(child for step in steps for child in _list_descendants(step))]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def lose_node(self, node: str) -> None:
        """Kill a node, and tell the controller at once, which would notice it after node_timeout seconds."""
        self.kill_node(node)
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=killed")

    def bring_back_node(self, node: str) -> None:
        self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
        self.start_node(node)
        self.wait_for_nodes()

    def _is_mine(self, pid: int) -> bool:
        return _read_environ(pid).get("SLURM_CONF") == str(self.config)

    def _start(self, name: str, *command: str, **environ: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self.environ | environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _kill(self, name: str) -> None:
        if daemon := self._daemons.pop(name, None):
            daemon.kill()
            daemon.wait()

    def _answers(self, *command: str, says: str = "") -> bool:
        try:
            answer = self.ask(*command)
        except AssertionError:
            return False
        return answer == says if says else "UP" in answer

    def _wait(self, reached: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not reached():
            ended = [daemon for daemon, process in self._daemons.items() if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = [
                    f"{path.name}:\n{path.read_text(errors='replace')[-2000:]}" for path in self.folder.glob("*.out")
                ]
                raise AssertionError("\n".join([f"{(ended or [name])[0]} does not start.", *logs]))
            time.sleep(0.05)


@contextmanager
def running_cluster(folder: Path, **values: object) -> Iterator[SlurmCluster]:
    """A cluster with its files in `folder`, which must be new. `values` replace those of slurm.conf: node_timeout,
    min_job_age, kill_wait, and lines as `more`."""
    cluster = SlurmCluster(folder, **values)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _path() -> str:
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def _find_ports(count: int) -> list[int]:
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        sockets = (first, second, third)[:count]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _list_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _read_environ(pid: int) -> Mapping[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _list_descendants(pid: int) -> list[int]:
    try:
        texts = [(thread / "children").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    children = [int(child) for text in texts for child in text.split()]
    return children + [later for child in children for later in _list_descendants(child)]
