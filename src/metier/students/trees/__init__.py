"""The student `trees`."""
