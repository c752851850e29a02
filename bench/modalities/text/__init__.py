"""Texts: sentences, reviews, questions, posts."""
