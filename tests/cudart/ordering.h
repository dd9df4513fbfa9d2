// Which operations come before which (vector clocks), and what they touch.
#pragma once
#include "cudart.h"

namespace cudart::ordering {

int new_track();
void join(Clock& clock, const Clock& other);

// Enter an operation of a stream in the log, when it is queued; the item gets its number and what comes before it.
void enter(Stream& stream, Item& item);

// The host has waited for all that a clock knows: everything that is queued from now on comes after it.
void settle(const Clock& clock);

// Check a touch of an operation that runs against all earlier ones.
void touch(const Item& item, Memory& memory, size_t offset, size_t bytes, bool writes);
void touch(const Item& item, const Touch& touched);

// Before something is written to pinned memory: see that the host has left alone what copies have read there.
void check_watches(const Memory& memory);

void end_watches(const char* start, size_t bytes);

void forget(Memory& memory);

}  // namespace cudart::ordering

namespace cudart::marks {

// Between these two, everything that a kernel reads and writes is marked; then the marks are handed over.
void begin(const char* library);
void end(const Item& item);
void forget(Memory& memory);

}  // namespace cudart::marks
