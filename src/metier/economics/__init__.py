"""Total cost of ownership, payback and their uncertainty: pure functions on arrays of Monte Carlo draws."""
