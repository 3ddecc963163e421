"""The student `encoder`."""
