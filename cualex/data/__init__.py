"""From image files to batches: decoding, packing, augmentation, prefetch."""
