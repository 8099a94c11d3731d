"""`python -m tilewright` is the program `tilewright`."""

from .cli import main

main()
