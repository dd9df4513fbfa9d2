"""Caffe: caffemodel and prototxt, in and out."""
