"""``python -m roicodec``: the command line."""

from roicodec.cli import main

main()
