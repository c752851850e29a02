"""What is learned of an example: one class, or any number of labels."""
