"""Places that labelled examples come from, one file each."""
