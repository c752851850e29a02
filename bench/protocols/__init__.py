"""What a protocol is: its checks, its cells, and how a cell runs."""
