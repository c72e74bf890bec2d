"""From pictures to frame chunks: decisions, motion search, region of interest, rate control."""
