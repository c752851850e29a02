"""Running cells: an executor takes cells and gives records, in whatever order they end."""
