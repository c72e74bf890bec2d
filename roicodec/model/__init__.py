"""The codec's networks: float and quantized for training, integer for coding."""
