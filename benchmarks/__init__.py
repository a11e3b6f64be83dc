"""How fast it is beside others, on a service of this machine. ``python -m benchmarks --help`` tells more."""
