// Accesses that nothing brings into order.
//
// Every stream has a vector clock: of each stream, how many operations come before what it does next. An event takes
// its stream's clock along, a wait joins it to another's. Of two operations that touch the same bytes, one writing,
// the one that runs first must be in the clock of the other; which it is does not depend on the schedule, so that a
// forgotten wait is found in every order. What the host has waited for comes before all that it queues from then on.
//
// Memory is watched in cells of four bytes: two values of two bytes each, written by two streams, would be taken for
// one. All threads of the host count as one.
//
// What the host itself does to pinned memory is not seen. But a copy from there remembers a checksum, which must be
// the same when the host has waited for the copy.
#include <sys/mman.h>

#include <algorithm>

#include "ordering.h"

namespace cudart::ordering {

constexpr size_t CELL = 4;
constexpr uint32_t SEVERAL = 1u << 31;  // readers: an index into `groups`

struct Entry {
    int track, stream, device;
    unsigned time, queued, settled;  // the last two: by `now`; 0 for not yet
    std::shared_ptr<const Operation> work;
};

struct Track {
    unsigned count = 0, settled = 0;
    std::deque<uint32_t> open;  // operations that the host has not waited for
};

struct Watch {
    const char* start;
    size_t bytes;
    uint64_t sum;
    bool ran;
};

static unsigned now = 1;
static std::deque<Entry> entries(1);  // the log; 0 is no operation
static std::deque<Track> tracks;
static std::map<uint32_t, std::vector<Watch>> watches;  // by operation
static std::vector<std::vector<uint32_t>> groups;
static std::map<std::vector<uint32_t>, uint32_t> group_numbers;

int new_track() {
    tracks.emplace_back();
    return (int)tracks.size() - 1;
}

void join(Clock& clock, const Clock& other) {
    for (const auto& [track, time] : other)
        if (time > tracks[track].settled) clock[track] = std::max(clock[track], time);
}

static uint64_t checksum(const char* start, size_t bytes) {
    uint64_t sum = 14695981039346656037u;  // FNV-1a
    for (size_t i = 0; i < bytes; ++i) sum = (sum ^ (unsigned char)start[i]) * 1099511628211u;
    return sum;
}

void enter(Stream& stream, Item& item) {
    for (auto each = stream.clock.begin(); each != stream.clock.end();)
        each = each->second > tracks[each->first].settled ? std::next(each) : stream.clock.erase(each);
    Track& track = tracks[stream.track];
    item.number = (uint32_t)entries.size();
    item.before = stream.clock;
    entries.push_back({stream.track, stream.number, stream.device, ++track.count, ++now, 0, item.work});
    track.open.push_back(item.number);
    stream.clock[stream.track] = track.count;
    for (const Touch& touched : item.work->touches) {
        const Memory* memory = memory_at(touched.start);
        if (touched.writes || !memory || memory->kind != Memory::PINNED) continue;
        const char* start = (const char*)touched.start;
        watches[item.number].push_back({start, touched.bytes, checksum(start, touched.bytes), false});
    }
}

static std::string name(const Entry& entry) {
    return entry.work->name + " on stream " + std::to_string(entry.stream) + " of device " +
           std::to_string(entry.device);
}

static void check(const Watch& watch, const Entry& entry) {
    const Memory* memory = memory_at(watch.start);
    if (!memory || checksum(watch.start, watch.bytes) == watch.sum) return;
    find("the host has changed " + describe(*memory, watch.start - memory->start, watch.bytes) + " while " +
         name(entry) + " was reading it: nobody had waited for that");
}

void settle(const Clock& clock) {
    ++now;
    for (const auto& [number, time] : clock) {
        Track& track = tracks[number];
        track.settled = std::max(track.settled, time);
        while (!track.open.empty() && entries[track.open.front()].time <= time) {
            const uint32_t operation = track.open.front();
            track.open.pop_front();
            entries[operation].settled = now;
            const auto found = watches.find(operation);
            if (found == watches.end()) continue;
            for (const Watch& watch : found->second) check(watch, entries[operation]);
            watches.erase(found);
        }
    }
}

static bool ordered(const Entry& earlier, const Entry& later, const Clock& before) {
    if (earlier.track == later.track || (earlier.settled && earlier.settled < later.queued)) return true;
    const auto known = before.find(earlier.track);
    return known != before.end() && known->second >= earlier.time;
}

// One touch, cell by cell. Neighbours mostly have the same history, so the last answers are kept.
struct Checker {
    const Item& item;
    const Memory& memory;
    bool writes;
    const Entry& own;
    uint32_t writer_seen = 0, readers_seen = 0, readers_next = 0;

    bool comes_after(uint32_t other) const { return ordered(entries[other], own, item.before); }

    void found(uint32_t other, bool other_writes, size_t cell) const {
        const Entry& entry = entries[other];
        const size_t offset = cell * CELL;
        find(name(own) + (writes ? " writes " : " reads ") +
             describe(memory, offset, std::min(CELL, memory.bytes - offset)) + ", which " + name(entry) +
             (other_writes ? " writes" : " reads") + ": no event and no wait says which comes first");
    }

    static std::vector<uint32_t> members(uint32_t readers) {
        if (!readers) return {};
        return readers & SEVERAL ? groups[readers & ~SEVERAL] : std::vector<uint32_t>{readers};
    }

    // Add this operation to those that have read a cell; who comes before it need not be remembered.
    uint32_t with_own(uint32_t readers) const {
        std::vector<uint32_t> all;
        for (const uint32_t each : members(readers))
            if (!comes_after(each)) all.push_back(each);
        if (all.empty()) return item.number;
        all.push_back(item.number);
        const auto added = group_numbers.try_emplace(all, (uint32_t)groups.size());
        if (added.second) groups.push_back(all);
        return added.first->second | SEVERAL;
    }

    void visit(Cell& cell, size_t number) {
        if (cell.writer != writer_seen) {
            if (cell.writer && !comes_after(cell.writer)) found(cell.writer, true, number);
            writer_seen = cell.writer;
        }
        if (writes) {
            if (cell.readers != readers_seen) {
                for (const uint32_t each : members(cell.readers))
                    if (!comes_after(each)) found(each, false, number);
                readers_seen = cell.readers;
            }
            cell = {item.number, 0};
            return;
        }
        if (cell.readers != readers_seen || !readers_next) {
            readers_seen = cell.readers;
            readers_next = with_own(cell.readers);
        }
        cell.readers = readers_next;
    }
};

static size_t cell_bytes(const Memory& memory) { return (memory.bytes / CELL + 1) * sizeof(Cell); }

void touch(const Item& item, Memory& memory, size_t offset, size_t bytes, bool writes) {
    if (!memory.cells) {
        void* made = mmap(nullptr, cell_bytes(memory), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (made == MAP_FAILED) return;
        memory.cells = (Cell*)made;
    }
    Checker checker{item, memory, writes, entries[item.number]};
    for (size_t cell = offset / CELL; cell * CELL < offset + bytes; ++cell) checker.visit(memory.cells[cell], cell);
}

// What is written over by the device need not be as it was: copies that have read it are checked before.
static void end_watches(const char* start, size_t bytes) {
    for (auto& [operation, all] : watches)
        for (size_t i = all.size(); i-- > 0;) {
            if (all[i].start >= start + bytes || start >= all[i].start + all[i].bytes) continue;
            if (all[i].ran) check(all[i], entries[operation]);
            all.erase(all.begin() + (long)i);
        }
}

void touch(const Item& item, const Touch& touched) {
    Memory* memory = memory_at(touched.start);
    if (!memory) {
        explain(item.work->name + " touches memory that has been freed");
        devices()[item.work->device].broken = cudaErrorIllegalAddress;
        return;
    }
    const char* start = (const char*)touched.start;
    if (memory->kind == Memory::PINNED) {
        const auto own = watches.find(item.number);
        if (own != watches.end())
            for (Watch& watch : own->second) watch.ran = true;
        if (touched.writes) end_watches(start, touched.bytes);
    }
    touch(item, *memory, start - memory->start, touched.bytes, touched.writes);
}

void forget(Memory& memory) {
    if (memory.cells) munmap(memory.cells, cell_bytes(memory));
    memory.cells = nullptr;
}

}  // namespace cudart::ordering
