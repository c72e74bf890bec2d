"""Segments: parts of a video that are coded apart, by one process or many, to the same bytes.

``plan`` says where they begin, ``encoder`` codes one after the other, ``parallel`` several at a
time, ``join`` makes the stream of them.
"""
