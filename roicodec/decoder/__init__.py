"""Decoding of frame chunks: weights, integer networks, prediction, post-filter."""
