"""The joint model as it is trained, in PyTorch, and how it becomes the graphs of a checkpoint."""
