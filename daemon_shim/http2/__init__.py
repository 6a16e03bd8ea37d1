"""HTTP/2 without I/O: bytes in, events out, bytes to send (RFC 9113), and gRPC's framing on it.

``connection.Connection`` plays either role. It stands under ``daemon_shim.session`` twice: as the
client of the daemon's control socket, and as the server inside the session's stream.
"""
