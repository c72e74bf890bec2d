"""``python -m roicodec.train STAGE --data FOLDER --run FOLDER``: train the networks."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from roicodec.train.command import train_command

if __name__ == "__main__":
    train_command()
