"""What values are: templates, scopes, variables and their types."""
