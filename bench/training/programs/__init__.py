"""Compiled networks above a cut."""
