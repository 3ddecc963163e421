"""Teaching: examples for the train split whose answers a generalist gives, and what makes them fit to be learnt from."""
