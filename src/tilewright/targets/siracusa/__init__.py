"""The Siracusa chip."""

DESCRIPTION = "the Siracusa chip: eight RV32 cores, 256 KiB of L1, 8 MiB of weight memory; runs on the simulator"
