"""Mining: finds the recurring jobs in a log of calls (templates, wordings, kinds of answer) and what they cost."""
