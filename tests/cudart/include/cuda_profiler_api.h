// Empty: the profiler's functions are among those that cuda_runtime.h only refuses.
#pragma once
#include "cuda_runtime.h"
