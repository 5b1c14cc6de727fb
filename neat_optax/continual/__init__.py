"""Networks that stay able to learn: dormant units, resets, and pulls to the start."""
