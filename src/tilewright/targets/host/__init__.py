"""This machine, and any microcontroller with a C compiler."""

DESCRIPTION = "portable C99 with static memory, for this machine and any microcontroller with a C compiler"
