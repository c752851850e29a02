"""What runs inside a worker: the protocol of a cell, stages, stored prefixes, search and metrics."""
