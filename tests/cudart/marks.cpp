// What a kernel reads and writes: g++ (-fsanitize=thread) calls a hook at every access to memory that is not a local
// variable's, and the emulator tells of the asynchronous copies. This stands in the place of the emulator's own
// hooks.cpp and requests.cpp, which belong to its checked build.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstring>

#include "../emulator/checker.h"
#include "ordering.h"

namespace cudart::marks {

constexpr size_t CELL = 4, CELLS_A_WORD = 64, PAGE_BITS = 12, PAGES = 1024;
enum Access { READ, WRITE };

// Which memory a page belongs to, as far as it has been asked; null: none, as for the kernel's shared memory.
struct Page {
    uintptr_t number;
    Memory* memory;
};
static Page pages[PAGES];
static std::set<Memory*> touched;
static const char* library;

static size_t words(const Memory& memory) { return memory.bytes / CELL / CELLS_A_WORD + 1; }

static uint64_t* make_marks(const Memory& memory) {
    void* made = mmap(nullptr, words(memory) * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) emulator::abandon("no memory for the marks of accesses");
    return (uint64_t*)made;
}

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

// Find the memory of an address; the host's, and that of other devices, a kernel cannot touch.
static Memory* find_memory(uintptr_t address) {
    Memory* memory = memory_at((const void*)address);
    if (!memory && !emulator::array_near(address) && !of_kernel((const void*)address) && !freed((void*)address))
        emulator::abandon("touches memory of the host that is not pinned");
    if (memory && touched.insert(memory).second)
        for (uint64_t*& each : memory->marks)
            if (!each) each = make_marks(*memory);
    return memory;
}

static inline void note(const void* at, size_t bytes, Access access) {
    const uintptr_t address = (uintptr_t)at, number = address >> PAGE_BITS;
    Page& page = pages[number % PAGES];
    if (page.number != number) page = {number, find_memory(address)};
    if (!page.memory) return;
    const size_t offset = address - (uintptr_t)page.memory->start;
    if (offset >= page.memory->bytes) return;  // it shares a page with something else, or the access faults
    uint64_t* marks = page.memory->marks[access];
    for (size_t cell = offset / CELL, last = (offset + bytes - 1) / CELL; cell <= last; ++cell)
        marks[cell / CELLS_A_WORD] |= 1ull << cell % CELLS_A_WORD;
}

// Hand over the runs of cells that are marked, and clear them.
static void hand_over(const Item& item, Memory& memory, Access access) {
    uint64_t* marks = memory.marks[access];
    size_t first = 0, count = 0;
    const auto flush = [&] {
        if (count) ordering::touch(item, memory, first * CELL, count * CELL, access == WRITE);
        count = 0;
    };
    for (size_t word = 0; word < words(memory); ++word) {
        for (uint64_t bits = marks[word]; bits;) {
            const size_t from = (size_t)__builtin_ctzll(bits), cell = word * CELLS_A_WORD + from;
            const uint64_t rest = ~(bits >> from);
            const size_t run = rest ? (size_t)__builtin_ctzll(rest) : CELLS_A_WORD;
            if (cell != first + count) {
                flush();
                first = cell;
            }
            count += run;
            bits = from + run == CELLS_A_WORD ? 0 : bits >> (from + run) << (from + run);
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
        if (each) munmap(each, words(memory) * sizeof(uint64_t));
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
