// Memory of the devices, and of the host where devices reach it (pinned).
//
// The emulator gives the devices' memory: full of 0xFF at first, between pages that nobody may touch. What has been
// freed is kept as such pages, so that its addresses do not come back and a later use of them is seen.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "ordering.h"

extern "C" void* emulator_allocate(int device, size_t bytes, int* number);
extern "C" void emulator_free(void* start);

namespace cudart {

constexpr size_t PAGE = 4096;
constexpr size_t ALIGNMENT = 256;  // "at least 256 bytes" (Programming Guide, "Device Memory Accesses")
constexpr size_t KEPT = 20000;  // freed memories that are remembered

static std::map<uintptr_t, Memory> memories;
static std::map<uintptr_t, size_t> tombs;  // of freed memories: the pages
static std::deque<uintptr_t> tombs_by_age;
static int made;

static size_t up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

template <class Value>
static auto holder(std::map<uintptr_t, Value>& among, uintptr_t address) {
    auto after = among.upper_bound(address);
    return after == among.begin() ? among.end() : std::prev(after);
}

Memory* memory_at(const void* address) {
    const auto found = holder(memories, (uintptr_t)address);
    if (found == memories.end()) return nullptr;
    Memory& memory = found->second;
    return (const char*)address < memory.start + memory.bytes ? &memory : nullptr;
}

bool freed(const void* address) {
    const auto found = holder(tombs, (uintptr_t)address);
    return found != tombs.end() && (uintptr_t)address < found->first + found->second;
}

std::string describe(const Memory& memory, size_t offset, size_t bytes) {
    const std::string where = memory.kind == Memory::DEVICE ? "device " + std::to_string(memory.device) : "the host";
    return "bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes - 1) + " of memory " +
           std::to_string(memory.number) + " (" + std::to_string(memory.bytes) + " bytes of " + where + ")";
}

std::string memory_left() {
    size_t bytes[2] = {};
    std::string left;
    for (const auto& [start, memory] : memories) bytes[memory.kind] += memory.bytes;
    for (const int kind : {Memory::DEVICE, Memory::PINNED}) {
        const auto count = std::count_if(memories.begin(), memories.end(),
                                         [=](const auto& each) { return each.second.kind == kind; });
        const char* where = kind == Memory::DEVICE ? " bytes on devices" : " bytes pinned";
        left += some((size_t)count, "memories of " + std::to_string(bytes[kind]) + where);
    }
    return left;
}

static char* map_pages(size_t bytes, void* at = nullptr) {
    // What another thread may have mapped in the meantime is not replaced.
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE : 0);
    void* start = mmap(at, bytes, PROT_NONE, flags, -1, 0);
    return start == MAP_FAILED ? nullptr : (char*)start;
}

void* map_zeros(size_t bytes) {
    void* start = map_pages(bytes);
    if (!start || mprotect(start, bytes, PROT_READ | PROT_WRITE)) {
        explain("no memory to note accesses in");
        abort();
    }
    return start;
}

void unmap_zeros(void* start, size_t bytes) { munmap(start, bytes); }

static void bury(char* start, size_t bytes) {
    char* first = start - (uintptr_t)start % PAGE;
    const size_t pages = up(start + bytes - first, PAGE);
    if (!map_pages(pages, first)) return;
    tombs[(uintptr_t)first] = pages;
    tombs_by_age.push_back((uintptr_t)first);
    if (tombs_by_age.size() <= KEPT) return;
    const auto oldest = tombs.find(tombs_by_age.front());
    munmap((void*)oldest->first, oldest->second);
    tombs.erase(oldest);
    tombs_by_age.pop_front();
}

static void enter_memory(Memory::Kind kind, char* start, size_t bytes, void** result) {
    Memory& memory = memories[(uintptr_t)start];
    memory.kind = kind;
    memory.device = current;
    memory.number = ++made;
    memory.start = start;
    memory.bytes = bytes;
    *result = start;
}

static cudaError_t release(void* start, Memory::Kind kind) {
    Memory* memory = memory_at(start);
    if (!memory || memory->start != start || memory->kind != kind) {
        if (freed(start)) explain("memory is freed a second time");
        return cudaErrorInvalidValue;
    }
    // Both wait for what is under way; what is captured will come later, and finds the memory gone.
    finish_all();
    ordering::forget(*memory);
    marks::forget(*memory);
    if (kind == Memory::DEVICE) {
        devices()[memory->device].used -= memory->bytes;
        emulator_free(start);
    } else {
        munmap(memory->start - (uintptr_t)memory->start % PAGE - PAGE, up(memory->bytes, PAGE) + 2 * PAGE);
    }
    bury(memory->start, memory->bytes);
    memories.erase((uintptr_t)start);
    return cudaSuccess;
}

}  // namespace cudart

using namespace cudart;

extern "C" {

cudaError_t cudaMalloc(void** start, size_t bytes) {
    ENTER;
    TRY(usable(current));
    TRY(unsafe());
    *start = nullptr;
    if (!bytes) return cudaSuccess;
    Device& device = devices()[current];
    const size_t most = of_device(settings().memory, current);
    REFUSE(bytes > most || device.used + bytes > most, cudaErrorMemoryAllocation);
    int number;
    char* found = (char*)emulator_allocate(current, up(bytes, ALIGNMENT), &number);
    REFUSE(!found, cudaErrorMemoryAllocation);
    device.used += bytes;
    if (settings().idle) memset(found, 0, bytes);
    enter_memory(Memory::DEVICE, found, bytes, start);
    return cudaSuccess;
}

cudaError_t cudaFree(void* start) {
    ENTER;
    TRY(usable(current));
    if (!start) return cudaSuccess;
    TRY(unsafe());
    return fail(release(start, Memory::DEVICE));
}

cudaError_t cudaHostAlloc(void** start, size_t bytes, unsigned) {
    ENTER;
    TRY(usable(current));
    TRY(unsafe());
    *start = nullptr;
    if (!bytes) return cudaSuccess;
    const size_t pages = up(bytes, PAGE);
    char* found = map_pages(pages + 2 * PAGE);
    REFUSE(!found || mprotect(found + PAGE, pages, PROT_READ | PROT_WRITE), cudaErrorMemoryAllocation);
    memset(found + PAGE, settings().idle ? 0 : POISON, pages);
    enter_memory(Memory::PINNED, found + PAGE + pages - up(bytes, ALIGNMENT), bytes, start);
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void* start) {
    ENTER;
    TRY(usable(current));
    if (!start) return cudaSuccess;
    TRY(unsafe());
    return fail(release(start, Memory::PINNED));
}

cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
    ENTER;
    TRY(usable(current));
    *total = of_device(settings().memory, current);
    *available = *total - devices()[current].used;
    return cudaSuccess;
}

// Types: 0 unregistered, 1 host, 2 device (enum cudaMemoryType).
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* address) {
    ENTER;
    const Memory* memory = memory_at(address);
    void* own = const_cast<void*>(address);
    if (!memory)
        *attributes = {0, -2, nullptr, own};
    else if (memory->kind == Memory::PINNED)
        *attributes = {1, memory->device, own, own};
    else
        *attributes = {2, memory->device, own, nullptr};
    return cudaSuccess;
}

}  // extern "C"
