"""What commands print when they are done, a file a subject. Imported only once a command runs."""
