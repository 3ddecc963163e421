"""The student `lm`: a small generative language model, cut to its task's vocabulary, tuned, quantised."""
