// CUDA's driver interface, as much of it as CuPy's modules are written against.
#pragma once
#include <cstddef>

// CUDA_VERSION comes from build.py: that of the CuPy which is installed.

typedef int CUresult, CUdevice, CUfunction_attribute, CUjit_option, CUjitInputType;
typedef void *CUcontext, *CUdeviceptr, *CUevent, *CUfunction, *CUlinkState, *CUmodule, *CUstream;
typedef size_t (*CUoccupancyB2DSize)(int);
