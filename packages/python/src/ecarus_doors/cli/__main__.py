"""`python -m ecarus_doors.cli`."""

from ecarus_doors.cli import main

main()
