"""Image data sets: where they come from, decoding, augmentation."""
