"""The command against real daemons: what users see on disk, in registries and on screen."""
