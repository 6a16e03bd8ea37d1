"""Everything on the wire between this client and BuildKit daemons of any age."""
