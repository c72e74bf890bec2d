"""Where people look: ROI sources, masks and their coding, region features, bit-width choice.

Nothing here imports torch, and :mod:`roicodec.roi.mask_coding` needs numpy and constriction
alone, so that a stream can be listed in a blink.
"""
