"""What knows what an example is, one folder a kind."""
