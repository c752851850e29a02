"""What is learned beside the target: a source dataset, auxiliary labels."""
