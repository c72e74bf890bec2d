"""LSQ against the equations of Esser et al. 2020 and against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from roicodec.errors import ModelError
from roicodec.kernels.integer import MAX_WEIGHT, Grid
from roicodec.networks.lsq import (
    ActivationQuantizer,
    WeightQuantizer,
    fixed_point,
    lsq,
    power_of_two,
)

# Below, at and above both clipping points of 3 signed bits with a step of 1/4, and ties.
POINTS = [-2.0, -1.01, -1.0, -0.99, -0.875, -0.125, 0.0, 0.1, 0.125, 0.375, 0.74, 0.75, 0.76, 3.0]


def _paper(v: float, s: float, qn: int, qp: int) -> tuple[float, float, float]:
    """Value, d/ds and d/dv of the quantizer: equations 1 to 3 and 5, a point at a time."""
    scaled = v / s
    value = round(min(max(scaled, -qn), qp)) * s
    if scaled <= -qn:
        return value, -qn, 0.0
    if scaled >= qp:
        return value, qp, 0.0
    return value, -scaled + round(scaled), 1.0


@pytest.mark.parametrize(("low", "high"), [(-4, 3), (0, 7)])
@pytest.mark.parametrize("channels", [False, True])
def test_value_and_gradients_are_the_papers(low: int, high: int, channels: bool) -> None:
    v = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    gradient = torch.linspace(-1, 2, len(POINTS), dtype=torch.float64)
    shape = (len(POINTS),) if channels else ()
    step = torch.full(shape, 0.25, dtype=torch.float64, requires_grad=True)
    out = lsq(v, step, low, high, gradient_scale=0.3)
    out.backward(gradient)
    expected = torch.tensor([_paper(p, 0.25, -low, high) for p in POINTS], dtype=torch.float64)
    assert v.grad is not None
    assert step.grad is not None
    assert torch.equal(out, expected[:, 0])
    assert torch.equal(v.grad, gradient * expected[:, 2])
    by_step = 0.3 * gradient * expected[:, 1]
    assert torch.allclose(step.grad, by_step if channels else by_step.sum(), atol=1e-12)


def test_step_gradient_matches_finite_differences_where_integers_stay() -> None:
    # With the integer held, out = q s: the slope is q. The rest of LSQ's gradient is that of the
    # straight-through estimate: out = s (v/s + constant), whose constant is the rounding.
    v = torch.tensor([-3.0, -0.6, 0.2, 0.9, 5.0], dtype=torch.float64)
    s, h = 0.25, 1e-6
    rounding = (v / s).round() - v / s

    def surrogate(step: float) -> Tensor:
        return (v / step + rounding).clamp(-4, 3) * step

    slope = (surrogate(s + h) - surrogate(s - h)) / (2 * h)
    for i in range(len(v)):
        step = torch.tensor(s, dtype=torch.float64, requires_grad=True)
        lsq(v[i], step, -4, 3).backward()
        assert step.grad is not None
        assert float(step.grad) == pytest.approx(float(slope[i]), abs=1e-6)


def test_clipped_points_match_finite_differences_of_the_quantizer_itself() -> None:
    # Clipped, out = Q s without any rounding in it.
    for v, q in ((-5.0, -4), (5.0, 3)):
        step = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
        x = torch.tensor(v, dtype=torch.float64, requires_grad=True)
        lsq(x, step, -4, 3).backward()
        h = 1e-6
        up, down = (lsq(x.detach(), step.detach() + d, -4, 3) for d in (h, -h))
        assert step.grad is not None
        assert float(step.grad) == pytest.approx(float(up - down) / (2 * h), abs=1e-6) == q
        assert x.grad == 0


def test_power_of_two_passes_the_gradient_of_the_unrounded_step() -> None:
    log = torch.tensor([-2.4, -1.5, 0.5, 3.6], dtype=torch.float64, requires_grad=True)
    step = power_of_two(log)
    assert step.tolist() == [0.25, 0.25, 1.0, 16.0]
    step.sum().backward()
    assert log.grad is not None
    # d(2**x)/dx at the rounded exponent.
    h = 1e-6
    rounded = log.detach().round()
    slope = (torch.exp2(rounded + h) - torch.exp2(rounded - h)) / (2 * h)
    assert torch.allclose(log.grad, slope, atol=1e-6)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_activation_quantizer(bits: int) -> None:
    torch.manual_seed(bits)
    v = torch.randn(3, 5, 4, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    quantizer = ActivationQuantizer((2, 4, 8), signed=True)
    out = quantizer(v, bits)
    high = 2 ** (bits - 1) - 1
    log = math.log2(2 * float(v.detach().abs().mean()) / math.sqrt(high))
    k = (2, 4, 8).index(bits)
    assert float(quantizer.log_step[k].detach()) == pytest.approx(log, abs=1e-5)
    assert quantizer.ready.tolist() == [b == bits for b in (2, 4, 8)]
    s = 2.0 ** round(log)
    expected = torch.tensor([_paper(p, s, high + 1, high) for p in v.detach().flatten().tolist()])
    assert torch.equal(out.detach().flatten(), expected[:, 0])
    gradient = torch.randn_like(v)
    out.backward(gradient)
    scale = 1 / math.sqrt(5 * 4 * 6 * high)
    by_step = float((gradient.flatten() * expected[:, 1]).sum()) * scale * s * math.log(2)
    assert quantizer.log_step.grad is not None
    assert float(quantizer.log_step.grad[k]) == pytest.approx(by_step, rel=1e-4)
    assert quantizer.log_step.grad.count_nonzero() == 1


def test_weight_quantizer_has_a_step_for_each_channel() -> None:
    torch.manual_seed(0)
    w = torch.randn(4, 6, 1, 1) * torch.tensor([0.1, 1.0, 10.0, 0.0]).view(4, 1, 1, 1)
    w.requires_grad_()
    quantizer = WeightQuantizer((4, 8), 4)
    out = quantizer(w, 4)
    mean = w.detach().abs().mean((1, 2, 3))
    start = torch.log2(2 * mean[:3] / math.sqrt(7))
    assert torch.allclose(quantizer.log_step[0, :3], start)
    assert (out[3] == 0).all()
    integers, exponent = quantizer.integers(w, 4)
    assert (integers * torch.exp2(exponent.float()).view(4, 1, 1, 1) == out).all()
    assert (int(integers.min()), int(integers.max())) >= (-8, 0)
    gradient = torch.randn_like(w)
    out.backward(gradient)
    assert quantizer.log_step.grad is not None
    for c in range(3):
        s = 2.0 ** int(exponent[c])
        terms = [_paper(p, s, 8, 7)[1] for p in w.detach()[c].flatten().tolist()]
        total = float((gradient[c].flatten() * torch.tensor(terms)).sum())
        expected = total / math.sqrt(6 * 7) * s * math.log(2)
        assert float(quantizer.log_step.grad[0, c]) == pytest.approx(expected, rel=1e-4)


def test_16_bit_weights_leave_room_in_the_accumulator() -> None:
    torch.manual_seed(1)
    w = torch.randn(3, 400) * torch.tensor([[1e-3], [1.0], [30.0]])
    w[1, 0] = 100
    quantizer = WeightQuantizer((16,), 3)
    quantizer.calibrate(w, 16)
    integers, _ = quantizer.integers(w, 16)
    sums = integers.abs().sum(1)
    assert (sums * 32768 <= 3 << 29).all()
    assert (sums > 8000).all()
    assert integers.abs().max() <= MAX_WEIGHT
    assert torch.allclose(quantizer(w, 16), w, atol=0.01 * 30)


def test_calibrate_finds_the_best_power_of_two() -> None:
    torch.manual_seed(2)
    v = torch.randn(2000)
    quantizer = ActivationQuantizer((4,), signed=True)
    quantizer.calibrate(v, 4)
    quantizer.eval()
    error = float((quantizer(v, 4) - v).square().mean().detach())
    others = [
        float((lsq(v, torch.tensor(2.0**e), -8, 7) - v).square().mean()) for e in range(-9, 5)
    ]
    assert error == min(others)


def test_unsigned_is_a_relu() -> None:
    v = torch.linspace(-2, 2, 41, requires_grad=True)
    quantizer = ActivationQuantizer((8,), signed=False)
    out = quantizer(v, 8)
    out.sum().backward()
    assert v.grad is not None
    assert (out >= 0).all()
    assert torch.equal(v.grad, (v > 0).float() * (v < 255 * 2.0 ** quantizer.log_step[0].round()))


def test_training_learns_the_step() -> None:
    torch.manual_seed(3)
    v = torch.randn(64, 100)
    quantizer = ActivationQuantizer((4,), signed=True)
    quantizer(v, 4)
    with torch.no_grad():
        quantizer.log_step.add_(3)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        (quantizer(v, 4) - v).square().mean().backward()
        optimizer.step()
    best = ActivationQuantizer((4,), signed=True)
    best.calibrate(v, 4)
    assert abs(float((quantizer.log_step - best.log_step).detach())) < 0.75


def test_fixed_point() -> None:
    v = torch.tensor([0.3, 0.375, -700.0, 700.0], requires_grad=True)
    out = fixed_point(v, -6, Grid(16, signed=True))
    assert out.tolist() == [19 / 64, 0.375, -512, 32767 / 64]
    out.sum().backward()
    assert v.grad is not None
    assert v.grad.tolist() == [1, 1, 0, 0]


def test_errors() -> None:
    quantizer = ActivationQuantizer((4, 8), signed=True)
    with pytest.raises(ModelError, match="bit-width 3"):
        quantizer(torch.ones(1, 2), 3)
    quantizer.eval()
    with pytest.raises(ModelError, match="no step for 4 bits"):
        quantizer(torch.ones(1, 2), 4)
    with pytest.raises(ModelError):
        ActivationQuantizer((9,), signed=True)


def test_state_survives_saving() -> None:
    v = torch.tensor(np.linspace(-1, 1, 50)).float()
    first = ActivationQuantizer((2, 8), signed=True)
    expected = first(v, 8)
    second = ActivationQuantizer((2, 8), signed=True)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.eval()(v, 8), expected)
