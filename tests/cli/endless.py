"""A module whose import is interrupted, and does not end."""

import os
import signal

signal.raise_signal(signal.SIGINT)
os.read(os.pipe()[0], 1)
