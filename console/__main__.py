"""`python -m console`: the `oms` command where its script is not on the path."""

from console.cli import main

main()
