"""Charts as SVG text: small pure functions from numbers to a string, no library, no script, no colours of their own."""
