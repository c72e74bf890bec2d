"""Neural video codec that spends bits and arithmetic where people look."""

__version__ = "0.1.0"
