"""Intervals, paired tests, verdicts, power and certificates: pure functions on numpy arrays (formulas in
docs/statistics.md).
"""
