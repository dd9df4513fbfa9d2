// Asynchronous copies into shared memory, as late as their waits allow.
#include <cstring>

#include "checker.h"
#include "state.h"

namespace emulator {

// Of 16 or 4 bytes: g++ makes one instruction of a known number.
static void fill(char* target, int byte, int bytes) {
    if (bytes == 16)
        memset(target, byte, 16);
    else
        memset(target, byte, 4);
}

static void copy(char* target, const char* source, int bytes) {
    if (bytes == 16)
        memcpy(target, source, 16);
    else
        memcpy(target, source, 4);
}

void copy_issue(void* target, const void* source, int bytes, bool inside) {
    called_from = __builtin_return_address(0);
    if ((reinterpret_cast<uintptr_t>(target) | reinterpret_cast<uintptr_t>(source)) & (bytes - 1))
        abandon("an address of an asynchronous copy is no multiple of its " + std::to_string(bytes) + " bytes");
    if (launch.checked) {
        checker::access_by(*running, target, bytes, checker::ISSUE, called_from);
        if (inside) checker::access_by(*running, source, bytes, checker::READ, called_from);
    }
    if (launch.counted) {
        requests::note(*running, target, bytes, true, called_from);
        if (inside) requests::note(*running, source, bytes, false, called_from);
    }
    fill(static_cast<char*>(target), POISON, bytes);
    running->copies.push_back({static_cast<char*>(target), static_cast<const char*>(source), bytes, inside,
                               running->group, called_from});
}

void copy_commit() { ++running->group; }

void copy_wait(int in_flight) {
    called_from = __builtin_return_address(0);
    std::vector<Copy>& copies = running->copies;
    size_t kept = 0;
    for (const Copy& each : copies) {
        if (each.group + in_flight >= running->group) {
            copies[kept++] = each;
            continue;
        }
        if (launch.checked) checker::access_by(*running, each.target, each.bytes, checker::ARRIVE, each.code);
        if (each.inside)
            copy(each.target, each.source, each.bytes);
        else
            fill(each.target, 0, each.bytes);
    }
    copies.resize(kept);
}

}  // namespace emulator
