"""Motion: searching vectors, and coding them without loss."""
