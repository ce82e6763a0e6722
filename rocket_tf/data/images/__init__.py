"""Image data sets: sources, decoding, augmentation."""
