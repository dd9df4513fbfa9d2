// What the checked build watches.
#include "checker.h"

namespace emulator::checker {

void begin_launch() {}
void begin_block() {}
void block_is_ordered() {}
void warp_is_ordered(unsigned, unsigned) {}
void access_by(const Thread&, const void*, size_t, bool, const void*) {}
void forget(const Array&) {}

}  // namespace emulator::checker
