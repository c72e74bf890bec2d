"""Motion search: proposals of libx264, refined against the reconstruction."""
