"""Training: the study set, losses, augmentation, the loop, and calibration on validation."""
