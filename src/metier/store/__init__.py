"""Reads and writes artefacts and traffic: the only package that knows the disk or the database."""
