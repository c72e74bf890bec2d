"""The stream's syntax: header, chunks, entropy coding, masks and motion. Never imports torch."""
