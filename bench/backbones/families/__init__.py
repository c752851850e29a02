"""Networks that Keras Applications does not have."""
