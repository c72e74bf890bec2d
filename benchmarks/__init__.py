"""Speed of kernels, of the networks at each bit-width, and of whole programs."""
