"""From the calls of one task to examples: labels, duplicates, contradictions, splits, personal data."""
