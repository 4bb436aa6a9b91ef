"""`python -m jaxtriplet`."""

from jaxtriplet.cli import main

main()
