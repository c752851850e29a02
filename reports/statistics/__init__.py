"""What may be concluded from a few seeds and a finite test set."""
