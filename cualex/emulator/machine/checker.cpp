// The checker: out of bounds, reads of shared memory that nobody has written, races.
//
// Two accesses are in order when a barrier lies between them, or a __syncwarp that both threads take part in (directly
// or through others). Blocks of a launch are never in order. What is not in order, and writes, is a race, in whatever
// order it happens to run here.
#include "checker.h"

#include <map>
#include <memory>
#include <unordered_map>

#include "shadow.h"

namespace emulator::checker {

constexpr uint32_t IN_FLIGHT = ~0u;  // the epoch of a write that goes on
static uint32_t epoch = 1, first_of_launch, first_of_block;
static Shadow shared_shadow;
static std::unordered_map<int, std::unique_ptr<Shadow>> shadows;  // by the number of an array

static std::vector<uint32_t> stamps;                       // of each warp: how many __syncwarps there were
static std::vector<std::vector<uint32_t>> seen;            // by thread and lane: the last that orders that lane before it

void begin_launch() {
    first_of_launch = ++epoch;
    shared_shadow.reset(launch.shared_bytes);
    stamps.assign((threads.size() + WARP - 1) / WARP, 0);
    seen.assign(threads.size(), std::vector<uint32_t>(WARP, 0));
}

void begin_block() { first_of_block = ++epoch; }

void block_is_ordered() { ++epoch; }

void warp_is_ordered(unsigned warp, unsigned lanes) {
    const uint32_t stamp = ++stamps[warp];
    std::vector<uint32_t> joined(WARP, 0);
    for (unsigned lane = 0; lane < WARP; ++lane) {
        if (!(lanes >> lane & 1u)) continue;
        const std::vector<uint32_t>& known = seen[warp * WARP + lane];
        for (unsigned other = 0; other < WARP; ++other) joined[other] = std::max(joined[other], known[other]);
    }
    for (unsigned lane = 0; lane < WARP; ++lane)
        if (lanes >> lane & 1u) joined[lane] = stamp;
    for (unsigned lane = 0; lane < WARP; ++lane)
        if (lanes >> lane & 1u) seen[warp * WARP + lane] = joined;
}

void forget(const Array& array) { shadows.erase(array.number); }

// Findings: each kind once for each place in the kernel, with the first case.
struct Finding {
    std::string text;
    size_t count;
};
static std::map<std::pair<const void*, std::string>, Finding> findings;

void find(const char* what, const std::string& where, const Thread& thread, const void* code) {
    Finding& finding = findings[{code, what}];
    if (!finding.count++)
        finding.text = std::string(what) + where + " (block " + std::to_string(block.x) + "," +
                       std::to_string(block.y) + "," + std::to_string(block.z) + " thread " +
                       std::to_string(thread.number) + ")";
}

// Hand over one finding and the place in the kernel's code; null when there is none left.
extern "C" const char* emulator_finding(const void** code) {
    static std::string text;
    if (findings.empty()) return nullptr;
    const auto first = findings.begin();
    *code = first->first.first;
    text = first->second.text;
    if (first->second.count > 1) text += ", " + std::to_string(first->second.count) + " times";
    findings.erase(first);
    return text.c_str();
}

static bool before(const Thread& thread, unsigned other, uint32_t stamp) {
    return other / WARP == thread.warp && seen[thread.number][other % WARP] > stamp;
}

// Say what is wrong with a read, or null.
static const char* read(Record& record, const Thread& thread, bool in_shared) {
    const char* fault = nullptr;
    if (record.write_epoch == IN_FLIGHT)
        fault = "reads the target of an asynchronous copy that has not arrived, ";
    else if (in_shared && record.write_epoch < first_of_block)
        fault = "reads what this block has never written, ";
    else if (record.write_epoch >= first_of_launch && record.write_epoch < first_of_block)
        fault = "race: reads what another block of this launch has written, ";
    else if (record.write_epoch == epoch && record.writer != thread.number &&
             !before(thread, record.writer, record.write_stamp))
        fault = "race: reads what another thread has written since the last barrier, ";
    const unsigned lane = 1u << thread.lane;
    const uint32_t stamp = stamps[thread.warp];
    if (record.read_epoch != epoch) {
        if (record.read_epoch < first_of_block) record.read_before = record.read_epoch;
        record.read_epoch = epoch;
        record.read_stamp = stamp;
        record.read_warp = thread.warp;
        record.readers = lane;
    } else if (record.read_warp == thread.warp) {
        record.read_stamp = stamp;
        record.readers |= lane;
    } else {
        record.read_warp = SEVERAL;
    }
    return fault;
}

static bool read_by_others(const Record& record, const Thread& thread) {
    if (record.read_epoch != epoch) return false;
    if (record.read_warp != thread.warp) return true;
    for (unsigned lane = 0; lane < WARP; ++lane)
        if (lane != thread.lane && record.readers >> lane & 1u &&
            !before(thread, thread.warp * WARP + lane, record.read_stamp))
            return true;
    return false;
}

static bool read_by_other_block(const Record& record) {
    const uint32_t last = record.read_epoch < first_of_block ? record.read_epoch : record.read_before;
    return last >= first_of_launch;
}

static const char* write(Record& record, const Thread& thread, bool in_shared, Access access) {
    const char* fault = nullptr;
    if (record.write_epoch == IN_FLIGHT && access != ARRIVE)
        fault = "overwrites the target of an asynchronous copy that has not arrived, ";
    else if (record.write_epoch == epoch && record.writer != thread.number &&
        !before(thread, record.writer, record.write_stamp))
        fault = "race: overwrites what another thread has written since the last barrier, ";
    else if (read_by_others(record, thread))
        fault = "race: overwrites what another thread has read since the last barrier, ";
    else if (record.write_epoch >= first_of_launch && record.write_epoch < first_of_block && !in_shared)
        fault = "race: overwrites what another block of this launch has written, ";
    else if (!in_shared && read_by_other_block(record))
        fault = "race: overwrites what another block of this launch has read, ";
    record.write_epoch = access == ISSUE ? IN_FLIGHT : epoch;
    record.write_stamp = stamps[thread.warp];
    record.writer = thread.number;
    return fault;
}

static Shadow& shadow_of(const Array& array) {
    std::unique_ptr<Shadow>& shadow = shadows[array.number];
    if (!shadow) {
        shadow = std::make_unique<Shadow>();
        shadow->reset(array.bytes);
    }
    return *shadow;
}

void access_by(const Thread& thread, const void* address, size_t bytes, Access access, const void* code) {
    const uintptr_t from = reinterpret_cast<uintptr_t>(address);
    const bool in_shared = is_shared(from);
    const Array* array = in_shared ? nullptr : array_near(from);
    if (!in_shared && (!array || array->device != launch.device)) return;  // it faults if it is wrong
    const uintptr_t start = reinterpret_cast<uintptr_t>(in_shared ? shared : array->start);
    const size_t held = in_shared ? launch.shared_bytes : array->bytes;
    if (from < start || from + bytes > start + held) {
        const uintptr_t worst = from < start ? from : std::max(from, start + held);
        find(access == READ ? "out of bounds: reads " : "out of bounds: writes ", place(worst), thread, code);
        return;
    }
    Shadow& shadow = in_shared ? shared_shadow : shadow_of(*array);
    Record* const first = shadow.begin(from - start, bytes);
    Record* const end = shadow.end(from - start, bytes);
    const char* fault = nullptr;
    for (Record* record = first; record != end; ++record) {
        const char* found =
            access == READ ? read(*record, thread, in_shared) : write(*record, thread, in_shared, access);
        if (found) fault = found;
    }
    if (fault) find(fault, place(from), thread, code);
}

}  // namespace emulator::checker
