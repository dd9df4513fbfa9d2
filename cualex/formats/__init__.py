"""Weights of other programs, in and out: Caffe, ONNX, PyTorch, safetensors, NumPy.

    a file's bytes -> its tensors, described and not yet read -> canonical tensors -> our weights file

A reader (`caffe_file`, `onnx_file`, `torch_file`, `numpy_file`, `safetensors_file`) knows how a file is laid out and
nothing of networks; `conventions` says what each source means by its tensors; `importing` brings the two together.
No pickle is ever run: `pickles` reads the few instructions that tensors need and refuses all others.
"""
