"""The command line's commands, one noun per file."""
