"""5G drive tests from radio physics: windows in which throughput dropped, each with the cause that made it."""
