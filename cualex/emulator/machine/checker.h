// What the checked build watches: every access of a kernel to shared and to global memory.
#pragma once
#include "state.h"

namespace emulator::checker {

void begin_launch();
void begin_block();

// All accesses so far of the block, or of these lanes of a warp, come before all that follow.
void block_is_ordered();
void warp_is_ordered(unsigned warp, unsigned lanes);

// What a thread does to memory: an asynchronous copy writes from its issue until it arrives, a wgmma reads from its begin
// to its end.
enum Access { READ, WRITE, ISSUE, ARRIVE, ATOMIC, BEGIN_READ, END_READ };

// Check an access; `code` is where it is made.
void access_by(const Thread& thread, const void* address, size_t bytes, Access access, const void* code);

// Note a fault that does not end the launch; `other` is where in the code the other side of a race is.
void find(const char* what, const std::string& where, const Thread& thread, const void* code,
          const void* other = nullptr);

// A thread has executed fence.proxy.async: a wgmma may read what it has written so far, once a barrier has come.
void pass_to_async_proxy(const Thread& thread);

// The block that runs has called __threadfence.
void fence();

// An array is freed.
void forget(const Array& array);

}  // namespace emulator::checker

namespace emulator::requests {

// A thread asks for memory in one piece; requests.cpp counts what the warp's pieces together cost.
void note(const Thread& thread, const void* address, size_t bytes, bool write, const void* code);

void begin_launch();
void end_of_interval();

}  // namespace emulator::requests
