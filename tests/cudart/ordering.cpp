// Accesses that nothing brings into order.
//
// Every stream has a vector clock: of each stream, how many operations come before what it does next. An event takes
// its stream's clock along, a wait joins it to another's. Of two operations that touch the same bytes, one writing,
// the one that runs first must be in the clock of the other; which it is does not depend on the schedule, so that a
// forgotten wait is found in every order. What the host has waited for comes before all that it queues from then on.
//
// Memory is watched in cells of four bytes, and of less where an access begins or ends inside one: neighbouring values
// of two bytes may belong to two streams. All threads of the host count as one.
//
// What the host itself does to pinned memory is not seen. But a copy from there remembers a checksum, which must be
// the same when the host has waited for the copy.
#include <algorithm>

#include "ordering.h"

namespace cudart::ordering {

constexpr uint32_t SEVERAL = 1u << 31;  // readers: an index into `groups`

struct Entry {
    int track, stream, device;
    unsigned time, queued, settled;  // the last two: by `now`; 0 for not yet
    std::string name;                // and not the work, which may hold the bytes that a copy has taken
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
    entries.push_back({stream.track, stream.number, stream.device, ++track.count, ++now, 0, item.work->name});
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
    return entry.name + " on stream " + std::to_string(entry.stream) + " of device " +
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
        const size_t offset = cell * memory.cell_bytes;
        find(name(own) + (writes ? " writes " : " reads ") +
             describe(memory, offset, std::min(memory.cell_bytes, memory.bytes - offset)) + ", which " + name(entry) +
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

static size_t cell_count(const Memory& memory) { return memory.bytes / memory.cell_bytes + 1; }

static void make_cells(Memory& memory, size_t cell_bytes) {
    const Memory before = memory;
    memory.cell_bytes = cell_bytes;
    memory.cells = zeros<Cell>(cell_count(memory));
    if (!before.cells) return;
    for (size_t i = 0; i < cell_count(memory); ++i) memory.cells[i] = before.cells[i * cell_bytes / before.cell_bytes];
    free_zeros(before.cells, cell_count(before));
}

// A copy that has read pinned memory must have found there what was there when it was queued.
void check_watches(const Memory& memory) {
    for (const auto& [operation, all] : watches)
        for (const Watch& watch : all)
            if (watch.ran && memory_at(watch.start) == &memory) check(watch, entries[operation]);
}

// What the device writes over need not be as it was.
void end_watches(const char* start, size_t bytes) {
    for (auto& [operation, all] : watches)
        all.erase(std::remove_if(all.begin(), all.end(), [=](const Watch& watch) {
            return watch.start < start + bytes && start < watch.start + watch.bytes;
        }), all.end());
}

void touch(const Item& item, Memory& memory, size_t offset, size_t bytes, bool writes) {
    if (memory.kind == Memory::PINNED && writes) end_watches(memory.start + offset, bytes);
    size_t cell_bytes = memory.cell_bytes;
    const size_t end = offset + bytes == memory.bytes ? 0 : offset + bytes;  // the last cell need not be full
    while ((offset | end) % cell_bytes) cell_bytes /= 2;
    if (!memory.cells || cell_bytes < memory.cell_bytes) make_cells(memory, cell_bytes);
    Checker checker{item, memory, writes, entries[item.number]};
    const size_t last = (offset + bytes - 1) / cell_bytes;
    for (size_t cell = offset / cell_bytes; cell <= last; ++cell) checker.visit(memory.cells[cell], cell);
}

void touch(const Item& item, const Touch& touched) {
    Memory* memory = memory_at(touched.start);
    if (!memory) {
        explain(item.work->name + " touches memory that has been freed");
        devices()[item.work->device].broken = cudaErrorIllegalAddress;
        return;
    }
    if (memory->kind == Memory::PINNED) {
        const auto own = watches.find(item.number);
        if (own != watches.end())
            for (Watch& watch : own->second) watch.ran = true;
        if (touched.writes) check_watches(*memory);
    }
    touch(item, *memory, (const char*)touched.start - memory->start, touched.bytes, touched.writes);
}

void forget(Memory& memory) {
    if (memory.cells) free_zeros(memory.cells, cell_count(memory));
    memory.cells = nullptr;
}

}  // namespace cudart::ordering
