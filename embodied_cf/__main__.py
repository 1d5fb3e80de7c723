"""`python -m embodied_cf` is the command `embodied-cf`."""

from embodied_cf.cli import main

main()
