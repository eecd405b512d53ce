"""Several trainer processes that make one update together: who they are, how they share work and weights."""
