"""Learn from growing shares of the labels."""
