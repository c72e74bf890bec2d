"""A module whose import is interrupted, and goes on."""

import signal

signal.raise_signal(signal.SIGINT)
print("imported", flush=True)
