"""Studies that the project's choices rest on: measurements other than speed."""
