"""Images on disk become batches: decoding, packing, cropping and mirroring."""
