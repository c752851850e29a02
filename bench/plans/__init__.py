"""What to run, as people ask for it: the plan, and the strategies that it names."""
