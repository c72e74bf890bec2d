"""Quantizers for training, the integer definition, and the exact backends that run it."""
