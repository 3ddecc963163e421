"""The parts of an evaluation: what answers are judged against, asking both sides, scoring, comparing, wording."""
