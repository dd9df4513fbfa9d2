"""The one door to CUDA: the .cu sources of this folder, compiled and launched."""
