"""Builder of the documentation site and the man pages, from docs/*.md, docstrings and --help."""
