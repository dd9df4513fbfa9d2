// Memory: arrays of the devices, each between pages that nobody may touch, and the shared memory of a block.
#include <sys/mman.h>

#include <cstring>
#include <map>

#include "checker.h"
#include "state.h"

namespace emulator {

constexpr size_t GUARD = 16 * PAGE;
constexpr size_t ALIGNMENT = 16;          // so that the largest vector is aligned, and the end of an array guarded
constexpr size_t SHARED_ALIGNMENT = 128;  // as kernels/common/primitives.cuh declares it
constexpr size_t SHARED_BYTES = 256 * 1024;

static std::map<uintptr_t, Array> arrays;  // by the start of what is mapped
static size_t made;
static char* shared_end;

static size_t up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

static char* map(size_t bytes) {
    void* place = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

static size_t body(const Array& array) { return array.mapped_bytes - 2 * GUARD; }

// Make an array that ends where a guard page begins, full of poison; null when there is no memory.
extern "C" void* emulator_allocate(int device, size_t bytes, int* number) {
    const size_t rounded = up(bytes ? bytes : 1, ALIGNMENT);
    Array array{};
    array.mapped_bytes = up(rounded, PAGE) + 2 * GUARD;
    array.mapped = map(array.mapped_bytes);
    if (!array.mapped) return nullptr;
    mprotect(array.mapped + GUARD, body(array), PROT_READ | PROT_WRITE);
    array.start = array.mapped + array.mapped_bytes - GUARD - rounded;
    array.bytes = bytes;
    array.device = device;
    array.number = *number = ++made;
    memset(array.mapped + GUARD, POISON, body(array));
    arrays[reinterpret_cast<uintptr_t>(array.mapped)] = array;
    return array.start;
}

extern "C" void emulator_free(void* start) {
    const Array* array = array_near(reinterpret_cast<uintptr_t>(start));
    checker::forget(*array);
    munmap(array->mapped, array->mapped_bytes);
    arrays.erase(reinterpret_cast<uintptr_t>(array->mapped));
}

// Say that nobody has written to an array: the checker shall find who reads it.
extern "C" void emulator_mark_empty(void* start) {
    const Array* array = array_near(reinterpret_cast<uintptr_t>(start));
    arrays[reinterpret_cast<uintptr_t>(array->mapped)].empty = true;
}

// Return the number of the array that an address lies in, or 0.
extern "C" int emulator_array_at(void* address) {
    const Array* array = array_near(reinterpret_cast<uintptr_t>(address));
    return array ? array->number : 0;
}

// Find the array that holds an address, or whose guard pages do.
const Array* array_near(uintptr_t address) {
    auto after = arrays.upper_bound(address);
    if (after == arrays.begin()) return nullptr;
    const Array& array = (--after)->second;
    return address < after->first + array.mapped_bytes ? &array : nullptr;
}

// Take away, or give back, the memory of all devices but the one that the launch runs on.
void close_devices(bool closed) {
    for (const auto& [mapped, array] : arrays) {
        if (array.device == launch.device) continue;
        mprotect(array.mapped + GUARD, body(array), closed ? PROT_NONE : PROT_READ | PROT_WRITE);
    }
}

// Lay out the shared memory of a block, with a guard page at its end.
void set_shared(size_t bytes) {
    if (launch.own) return;
    if (!shared_end) {
        char* mapped = map(SHARED_BYTES + 2 * GUARD);
        if (!mapped) abandon("no memory for shared memory");
        shared_end = mapped + GUARD + SHARED_BYTES;
    }
    const size_t rounded = up(bytes, SHARED_ALIGNMENT), pages = up(rounded, PAGE);
    if (pages > SHARED_BYTES) abandon("more shared memory than any GPU has");
    mprotect(shared_end - SHARED_BYTES, SHARED_BYTES - pages, PROT_NONE);
    mprotect(shared_end - pages, pages, PROT_READ | PROT_WRITE);
    shared = shared_end - rounded;
}

static bool within(uintptr_t address, const char* start, size_t bytes) {
    return address - reinterpret_cast<uintptr_t>(start) < bytes;
}

// Variables of known size lie in Python's memory: what is near them is taken for a slip from them.
static bool near_fixed(uintptr_t address) {
    return within(address, launch.own->fixed - PAGE, launch.own->fixed_bytes + 2 * PAGE);
}

bool is_shared(uintptr_t address) {
    if (const Own* own = launch.own)
        return near_fixed(address) || within(address, own->dynamic, SHARED_BYTES);
    const uintptr_t end = reinterpret_cast<uintptr_t>(shared_end);
    return address >= end - SHARED_BYTES - GUARD && address < end + GUARD;
}

Span shared_span(uintptr_t address) {
    const Own* own = launch.own;
    if (!own) return {shared, launch.shared_bytes, 0};
    if (near_fixed(address)) return {own->fixed, own->fixed_bytes, 0};
    return {own->dynamic, launch.shared_bytes, up(own->fixed_bytes, ALIGNMENT)};
}

size_t shared_bytes() {
    return launch.own ? up(launch.own->fixed_bytes, ALIGNMENT) + launch.shared_bytes : launch.shared_bytes;
}

void poison_shared() {
    if (const Own* own = launch.own) {
        memset(own->fixed, POISON, own->fixed_bytes);
        memset(own->dynamic, POISON, launch.shared_bytes);
    } else {
        memset(shared, POISON, shared_end - shared);
    }
}

// What lies between the end of shared memory and the guard page must be as it was.
void check_shared() {
    if (launch.own) return;  // the checker has seen every access
    for (const char* place = shared + launch.shared_bytes; place < shared_end; ++place)
        if (static_cast<unsigned char>(*place) != POISON) abandon("a thread has written past the end of shared memory");
}

static std::string distance(uintptr_t address, uintptr_t start, size_t bytes) {
    if (address < start) return std::to_string(start - address) + " bytes before ";
    if (address < start + bytes) return "byte " + std::to_string(address - start) + " of ";
    return std::to_string(address - start - bytes) + " bytes past the end of ";
}

// Describe where an address lies: Python knows the arrays by their numbers.
std::string place(uintptr_t address) {
    if (is_shared(address)) {
        const Span piece = shared_span(address);
        const char* const name = launch.own && piece.start == launch.own->dynamic ? "dynamic shared memory" : "shared memory";
        return distance(address, reinterpret_cast<uintptr_t>(piece.start), piece.bytes) + name;
    }
    if (const Array* array = array_near(address)) {
        std::string text = distance(address, reinterpret_cast<uintptr_t>(array->start), array->bytes) + "array " +
                           std::to_string(array->number);
        if (array->device != launch.device)
            text += ", memory of device " + std::to_string(array->device) + " while device " +
                    std::to_string(launch.device) + " runs";
        return text;
    }
    return address < PAGE ? "a null pointer" : "memory that nobody has allocated";
}

}  // namespace emulator
