"""Encode with workers that SLURM gives: ``python examples/cluster/slurm.py --help``.

Needs dask-jobqueue, and a file system that all nodes share, with this Python on it.
"""

from __future__ import annotations

import argparse

import roicodec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="video, under a path that the nodes see")
    parser.add_argument("target", help="stream")
    parser.add_argument("--jobs", type=int, default=4, help="SLURM jobs to ask for")
    parser.add_argument("--cores", type=int, default=16, help="of each job: a worker process each")
    parser.add_argument(
        "--memory", default="32GB", help="of each job; about 1.5 GB a core at 1080p"
    )
    parser.add_argument("--walltime", default="12:00:00")
    parser.add_argument("--partition", help="queue of SLURM")
    chosen = parser.parse_args()
    from dask_jobqueue import SLURMCluster

    with SLURMCluster(
        queue=chosen.partition,
        cores=chosen.cores,
        processes=chosen.cores,
        memory=chosen.memory,
        walltime=chosen.walltime,
        job_script_prologue=["export OMP_NUM_THREADS=1"],
    ) as cluster:
        cluster.scale(jobs=chosen.jobs)
        # The encode begins with the first workers; those that the queue gives later join it.
        cluster.wait_for_workers(1)
        report = roicodec.encode(chosen.source, chosen.target, cluster=cluster.scheduler_address)
    print(f"{chosen.target}: {report.frames} frames, {report.bytes} bytes")


if __name__ == "__main__":
    main()
