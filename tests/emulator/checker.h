// What the checked build watches: every access of a kernel to shared and to global memory.
#pragma once
#include "state.h"

namespace emulator::checker {

void begin_launch();
void begin_block();

// All accesses so far of the block, or of these lanes of a warp, come before all that follow.
void block_is_ordered();
void warp_is_ordered(unsigned warp, unsigned lanes);

void access_by(const Thread& thread, const void* address, size_t bytes, bool write, const void* code);

// An array is freed.
void forget(const Array& array);

}  // namespace emulator::checker
