"""Run the command line as `python -m actdiag`."""

from actdiag.cli import main

main()
