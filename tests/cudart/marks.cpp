// What a kernel reads and writes: g++ (-fsanitize=thread) calls a hook at every access to memory that is not a local
// variable's, and the emulator tells of the asynchronous copies. This stands in the place of the emulator's own
// hooks.cpp and requests.cpp, which belong to its checked build.
#include <dlfcn.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "checker.h"
#include "ordering.h"

namespace cudart::marks {

constexpr size_t WORD = 64, PAGE = 4096, PAGES = 1024;
enum Access { READ, WRITE };

// Which memory a page belongs to, as far as it has been asked; null: none, as for the kernel's shared memory.
struct Page {
    uintptr_t number;
    Memory* memory;
};
static Page pages[PAGES];
static std::set<Memory*> touched;
static const char* library;

static size_t words(const Memory& memory) { return memory.bytes / WORD + 1; }

void begin(const char* of_library) {
    library = of_library;
    memset(pages, 0, sizeof pages);
    touched.clear();
}

static bool of_kernel(const void* address) {
    const uintptr_t place = (uintptr_t)address;
    if (emulator::is_shared(place) || emulator::on_stack(place)) return true;
    Dl_info info;
    return dladdr(address, &info) && !strcmp(info.dli_fname, library);
}

// The emulator has closed the memory of all other devices; a kernel reaches its device's peers.
static void open_peer(const Memory& memory) {
    if (memory.kind != Memory::DEVICE || !devices()[emulator::launch.device].peers.count(memory.device)) return;
    char* first = memory.start - (uintptr_t)memory.start % PAGE;
    mprotect(first, memory.start + memory.bytes - first, PROT_READ | PROT_WRITE);
}

// Find the memory of an address; the host's, and that of devices that are no peers, a kernel cannot touch.
static Memory* find_memory(uintptr_t address) {
    Memory* memory = memory_at((const void*)address);
    if (!memory && !emulator::array_near(address) && !of_kernel((const void*)address) && !freed((void*)address))
        emulator::abandon("touches memory of the host that is not pinned");
    if (!memory || !touched.insert(memory).second) return memory;
    if (memory->kind == Memory::PINNED) ordering::check_watches(*memory);
    open_peer(*memory);
    for (uint64_t*& each : memory->marks)
        if (!each) each = zeros<uint64_t>(words(*memory));
    return memory;
}

static inline void note(const void* at, size_t bytes, Access access) {
    const uintptr_t address = (uintptr_t)at, number = address / PAGE;
    Page& page = pages[number % PAGES];
    if (page.number != number) page = {number, find_memory(address)};
    const Memory* memory = page.memory;
    if (!memory) return;
    size_t offset = address - (uintptr_t)memory->start;
    const size_t end = offset + bytes;
    if (offset >= memory->bytes || end > memory->bytes)  // up to the end of a page, nothing faults
        emulator::abandon("touches bytes outside of " + describe(*memory, 0, memory->bytes));
    for (uint64_t* marks = memory->marks[access]; offset < end;) {
        const size_t shift = offset % WORD, count = std::min(WORD - shift, end - offset);
        marks[offset / WORD] |= ~0ull >> (WORD - count) << shift;
        offset += count;
    }
}

// Hand over the runs of bytes that are marked, and clear them.
static void hand_over(const Item& item, Memory& memory, Access access) {
    uint64_t* marks = memory.marks[access];
    size_t first = 0, count = 0;
    const auto flush = [&] {
        if (count) ordering::touch(item, memory, first, count, access == WRITE);
        count = 0;
    };
    for (size_t word = 0; word < words(memory); ++word) {
        for (uint64_t bits = marks[word]; bits;) {
            const size_t from = (size_t)__builtin_ctzll(bits), byte = word * WORD + from;
            const uint64_t rest = ~(bits >> from);
            const size_t run = rest ? (size_t)__builtin_ctzll(rest) : WORD;
            if (byte != first + count) {
                flush();
                first = byte;
            }
            count += run;
            bits = from + run == WORD ? 0 : bits >> (from + run) << (from + run);
        }
        if (marks[word]) marks[word] = 0;
    }
    flush();
}

void end(const Item& item) {
    for (Memory* memory : touched) {
        hand_over(item, *memory, READ);
        hand_over(item, *memory, WRITE);
    }
    touched.clear();
}

void forget(Memory& memory) {
    for (uint64_t*& each : memory.marks) {
        if (each) free_zeros(each, words(memory));
        each = nullptr;
    }
}

}  // namespace cudart::marks

// The emulator's requests, of which only the notes of asynchronous copies are wanted.
namespace emulator::requests {

void begin_launch() {}
void end_of_interval() {}
void note(const Thread&, const void* address, size_t bytes, bool write, const void*) {
    cudart::marks::note(address, bytes, write ? cudart::marks::WRITE : cudart::marks::READ);
}

}  // namespace emulator::requests

#define HOOKS(bytes)                                                                                             \
    extern "C" void __tsan_read##bytes(void* at) { cudart::marks::note(at, bytes, cudart::marks::READ); }        \
    extern "C" void __tsan_write##bytes(void* at) { cudart::marks::note(at, bytes, cudart::marks::WRITE); }      \
    extern "C" void __tsan_unaligned_read##bytes(void* at) { cudart::marks::note(at, bytes, cudart::marks::READ); } \
    extern "C" void __tsan_unaligned_write##bytes(void* at) { cudart::marks::note(at, bytes, cudart::marks::WRITE); }
HOOKS(1)
HOOKS(2)
HOOKS(4)
HOOKS(8)
HOOKS(16)

extern "C" void __tsan_read_range(void* at, size_t bytes) { cudart::marks::note(at, bytes, cudart::marks::READ); }
extern "C" void __tsan_write_range(void* at, size_t bytes) { cudart::marks::note(at, bytes, cudart::marks::WRITE); }
extern "C" void __tsan_init() {}
extern "C" void __tsan_func_entry(void*) {}
extern "C" void __tsan_func_exit() {}
