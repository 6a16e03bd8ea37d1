"""The session: a gRPC server inside one stream of the daemon's control connection."""
