"""What training computes in float is what the integer layers compute."""

from __future__ import annotations

import torch
from torch.nn import functional

from roicodec.kernels import integer
from roicodec.kernels.integer import SKELETON, Depthwise, Grid, Pointwise
from roicodec.kernels.prepare import integer_layer
from roicodec.networks.lsq import ActivationQuantizer, WeightQuantizer, fixed_point
from tests import layers

_U8 = Grid(8, signed=False)
_STREAM = -6


def _exponent(quantizer: ActivationQuantizer) -> int:
    return int(quantizer.log_step[0].round())


@torch.no_grad()
def test_a_block_in_float_and_in_integers() -> None:
    torch.manual_seed(5)
    bits, c, h, w = 4, 6, 5, 7
    signed, unsigned = Grid(bits, signed=True), Grid(bits, signed=False)
    x = fixed_point(2 * torch.randn(1, c, h, w, dtype=torch.float64), _STREAM, SKELETON)
    first, spatial, last = torch.randn(c, c), torch.randn(c, 1, 3, 3), torch.randn(c, c)
    weights = [v.double() for v in (first, spatial, last)]
    bias = torch.randint(-5, 6, (3, c)).double() / 4

    a = ActivationQuantizer((bits,), signed=True)
    common = ActivationQuantizer((8,), signed=False)
    b = ActivationQuantizer((bits,), signed=False)
    wq = [WeightQuantizer((n,), c) for n in (bits, 8, bits)]
    for q in (a, common, b, *wq):
        q.double()
    q1, q2, q3 = (q(v, n) for q, v, n in zip(wq, weights, (bits, 8, bits), strict=True))
    ka = a(x, bits)
    kc = common(functional.conv2d(ka, q1[..., None, None], bias[0]), 8)
    kb = b(functional.conv2d(kc, q2, bias[1], padding=1, groups=c), bits)
    out = fixed_point(x + functional.conv2d(kb, q3[..., None, None], bias[2]), _STREAM, SKELETON)
    assert (out != x).double().mean() > 0.5

    ea, ec, eb = _exponent(a), _exponent(common), _exponent(b)
    i1, i2, i3 = (q.integers(v, n) for q, v, n in zip(wq, weights, (bits, 8, bits), strict=True))
    quantize = layers.quantize([ea - _STREAM] * c, signed)
    layer1 = integer_layer(
        Pointwise, *i1, bias[0], source=(signed, ea), target=(_U8, ec), name="mix in"
    )
    layer2 = integer_layer(
        Depthwise, i2[0][:, 0], i2[1], bias[1], source=(_U8, ec), target=(unsigned, eb), name="dw"
    )
    layer3 = integer_layer(
        Pointwise, *i3, bias[2], source=(unsigned, eb), target=(SKELETON, _STREAM), name="mix out"
    )
    rows = (x[0].permute(1, 2, 0).reshape(-1, c) * 2.0**-_STREAM).long().numpy()
    codes = integer.pointwise(integer.quantize(rows, quantize), layer1)
    codes = integer.depthwise(codes.reshape(h, w, c), layer2).reshape(-1, c)
    got = integer.accumulate(rows, codes, layer3)
    expected = (out[0].permute(1, 2, 0).reshape(-1, c) * 2.0**-_STREAM).numpy()
    assert (got == expected).all()
