"""Encoder of pictures: decisions, motion search, region of interest, rate control."""
