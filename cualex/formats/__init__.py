"""Weights of other programs, in and out: Caffe, ONNX, PyTorch, safetensors, NumPy.

    a file's bytes -> its tensors, described and not yet read -> canonical tensors -> our weights file

A reader (`caffe/read.py`, `onnx/read.py`, `torch/read.py`, `reading/`) knows the layout of a file and nothing of
networks; `conventions.py` is the meaning of every source's tensors; `match.py` joins the two. No pickle is executed:
`reading/pickle_reader.py` interprets the few opcodes that tensors need and refuses all others.
"""
