"""Which cells to run next, so that an answer stands early and nothing is paid for that cannot change it."""
