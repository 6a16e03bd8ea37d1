"""Stand-ins for what real daemons cannot be made to do: faults, malice and exact bytes."""
