"""Pages: a folder of Markdown becomes a folder of HTML."""
