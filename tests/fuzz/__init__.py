"""Hostile streams by the million: mutations that know the format, and what must hold for each."""
