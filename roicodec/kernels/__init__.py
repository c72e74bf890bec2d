"""Integer kernels: the definition, and the ways to compute it."""
