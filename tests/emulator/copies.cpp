// Asynchronous copies into shared memory, as late as their waits allow.
#include <cstring>

#include "checker.h"
#include "state.h"

namespace emulator {

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
    memset(target, POISON, bytes);
    running->copies.push_back({static_cast<char*>(target), static_cast<const char*>(source), bytes, inside,
                               running->group, called_from});
}

void copy_commit() { ++running->group; }

void copy_wait(int in_flight) {
    called_from = __builtin_return_address(0);
    std::vector<Copy>& copies = running->copies;
    size_t kept = 0;
    for (const Copy& copy : copies) {
        if (copy.group + in_flight >= running->group) {
            copies[kept++] = copy;
            continue;
        }
        if (launch.checked) checker::access_by(*running, copy.target, copy.bytes, checker::ARRIVE, copy.code);
        if (copy.inside)
            memcpy(copy.target, copy.source, copy.bytes);
        else
            memset(copy.target, 0, copy.bytes);
    }
    copies.resize(kept);
}

}  // namespace emulator
