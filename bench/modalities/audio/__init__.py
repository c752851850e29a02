"""Clips of sound: speech, and anything else that is heard."""
