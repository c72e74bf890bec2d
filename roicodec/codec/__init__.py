"""The codec itself: one frame, then a stream of them."""
