"""The float networks against the format's constants."""

from __future__ import annotations

import torch

from roicodec.bitstream.constants import QUALITIES, QUANTIZER_STEPS
from roicodec.networks.frame_net import quantizer_step


def test_quantizer_steps_are_those_of_training() -> None:
    trained = quantizer_step(torch.arange(QUALITIES)).double()
    torch.testing.assert_close(trained, torch.from_numpy(QUANTIZER_STEPS), rtol=2e-7, atol=0)
