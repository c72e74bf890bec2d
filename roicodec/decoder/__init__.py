"""From frame chunks to pictures: weights, networks in integers, prediction, post-filter."""
