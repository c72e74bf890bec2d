"""Encode with workers on Kubernetes: ``python examples/cluster/kubernetes.py --help``.

Needs dask-kubernetes, its operator in the cluster, and an image with roicodec (Dockerfile).
"""

from __future__ import annotations

import argparse

import roicodec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="video; sent to the pods where they do not see it")
    parser.add_argument("target", help="stream")
    parser.add_argument("--image", required=True, help="with the roicodec of this machine")
    parser.add_argument("--workers", type=int, default=8, help="pods, each with one core")
    parser.add_argument("--memory", default="2Gi", help="of each pod")
    chosen = parser.parse_args()
    from dask_kubernetes.operator import KubeCluster

    resources = {"cpu": "1", "memory": chosen.memory}
    with KubeCluster(
        name="roicodec",
        image=chosen.image,
        n_workers=chosen.workers,
        worker_command=["dask", "worker", "--nthreads", "1"],
        resources={"requests": resources, "limits": resources},
    ) as cluster:
        cluster.wait_for_workers(1)
        report = roicodec.encode(chosen.source, chosen.target, cluster=cluster.scheduler_address)
    print(f"{chosen.target}: {report.frames} frames, {report.bytes} bytes")


if __name__ == "__main__":
    main()
