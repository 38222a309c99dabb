"""Training: what can be trained, how it goes on where it stopped, and how a network becomes an ONNX model."""
