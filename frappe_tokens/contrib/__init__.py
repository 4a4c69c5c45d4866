"""What needs another package, or another framework, than Django."""
