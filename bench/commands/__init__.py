"""One folder, or one file, a command."""
