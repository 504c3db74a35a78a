"""Set-up of a machine: standard library only, since it runs before anything is installed."""
