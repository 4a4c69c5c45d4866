"""Measures how long refusals take, over a socket, and whether that tells them apart."""
