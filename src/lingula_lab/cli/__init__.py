"""The laboratory's commands, mounted beside those of the product."""
