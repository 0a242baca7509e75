"""The engines, each against the real thing on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.slurm_cluster import SlurmCluster, find_obstacle, running_cluster
from support.sshd import box, box_root, remote, shared_box

__all__ = ["box", "box_root", "cluster", "remote", "shared_box"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Two nodes of a real Slurm, started once. A test leaves no job behind, and starts what it has killed."""
    if obstacle := find_obstacle():
        pytest.skip(obstacle)
    with running_cluster(tmp_path_factory.mktemp("slurm") / "cluster") as one:
        yield one
