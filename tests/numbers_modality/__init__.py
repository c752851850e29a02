"""A second modality, for tests: four numbers a row, from files of lines, and a small network for them."""
