"""Examples that are images."""
