"""Tell new classes apart by a few labels each."""
