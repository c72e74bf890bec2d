"""``python -m roicodec.train fit|release …``: train the networks."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from roicodec.errors import RoicodecError
from roicodec.train.command import train_command
from roicodec.train.curves import curves
from roicodec.train.release import release
from roicodec.train.saliency import saliency
from roicodec.train.saliency_score import saliency_score
from roicodec.train.selector import selector

train_command.add_command(release)
train_command.add_command(curves)
train_command.add_command(saliency)
train_command.add_command(selector)
train_command.add_command(saliency_score)

if __name__ == "__main__":
    try:
        train_command(prog_name="python -m roicodec.train")
    except RoicodecError as error:
        sys.exit(f"error: {error}")
