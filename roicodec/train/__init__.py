"""Training of the networks; nothing here is needed to encode or decode."""
