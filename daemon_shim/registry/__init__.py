"""Logins to container registries, as Docker keeps them, and the token exchange."""
