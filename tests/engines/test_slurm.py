"""Runs on a real Slurm of two nodes."""

from __future__ import annotations

from pathlib import Path

from support.kept_runs import until
from support.slurm_cluster import SlurmCluster


def test_a_node_that_is_killed_takes_its_job_with_it_and_slurm_starts_the_job_again(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    script = f'echo "$SLURMD_NODENAME $SLURM_RESTART_COUNT" >> {tmp_path}/starts'
    wait = '[ "$SLURM_RESTART_COUNT" ] || exec sleep 1000'
    job = cluster.ask("sbatch", "--parsable", "--output=/dev/null", f"--wrap={script}; {wait}")
    until((tmp_path / "starts").exists)
    cluster.lose_node("n1")
    until(lambda: cluster.read_state(job) == "COMPLETED")
    assert (tmp_path / "starts").read_text() == "n1 \nn2 1\n"
    cluster.bring_back_node("n1")
