"""The laboratory's commands, mounted among those of the product."""
