"""Region of interest: sources, saliency, region features, choice of bit-widths."""
