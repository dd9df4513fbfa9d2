"""Speed against a yardstick: the same network, in rounds that alternate with PyTorch."""
