"""Stand-ins for `srun` and `scontrol`: a job of nodes that are all this machine, without Slurm."""

from __future__ import annotations

from pathlib import Path

SRUN = """#!/bin/sh
for word; do
  case $word in
    --nodelist=*) SLURMD_NODENAME=${word#*=}; export SLURMD_NODENAME; shift;;
    --*) shift;;
    *) break;;
  esac
done
"$@"
exit $?  # so that the shell stays: like srun, it may end before the command
"""
SCONTROL = """#!/bin/sh
for node in %s; do echo "NodeName=$node Arch=x86_64 NodeAddr=127.0.0.1 NodeHostName=localhost Version=22.05.8"; done
"""


def make_job(folder: Path, nodes: int = 2) -> dict[str, str]:
    """Write the stand-ins into `folder`. Returns the variables of a process that runs on the first node of the job."""
    folder.mkdir()
    names = [f"n{number}" for number in range(1, nodes + 1)]
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL % " ".join(names))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return {
        "PATH": f"{folder}:/usr/bin:/bin",
        "SLURM_JOB_ID": "1",
        "SLURM_JOB_NODELIST": f"n[1-{nodes}]",
        "SLURMD_NODENAME": "n1",
    }
