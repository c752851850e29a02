"""Cells of a run in the trackers that people have: MLflow, TensorBoard, Weights & Biases."""
