"""From finished calls to traffic: a journal on disk that never slows a call, and the process that brings it into the
database."""
