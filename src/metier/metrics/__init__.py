"""What is measured: classification, selective answering, out-of-distribution detection, calibration of scores,
affinity of inputs.
"""
