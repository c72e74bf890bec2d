"""Integer arithmetic: the definition, its reference, fast forms, and how one is chosen."""
