"""Automatic image colorization in PyTorch."""
