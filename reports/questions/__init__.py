"""The questions that a page may answer, one file each, see ``reports.pages``."""
