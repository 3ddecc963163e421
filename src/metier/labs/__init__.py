"""Labs: simulators that make traffic, for the demo, tests and benchmarks. What they make is marked as made up."""

from metier.labs.registry import LABS, Lab

__all__ = ["LABS", "Lab"]
