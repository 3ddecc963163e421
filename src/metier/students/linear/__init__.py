"""The student `linear`."""
