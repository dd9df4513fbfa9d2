// The checker: out of bounds, reads of shared memory that nobody has written, races.
//
// Two accesses are in order when a barrier lies between them, or a __syncwarp that both threads take part in (directly
// or through others). Blocks of a launch are never in order. What is not in order, and writes, is a race, in whatever
// order it happens to run here.
#include "checker.h"

#include <algorithm>
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

// Of each block of a launch: its first epoch, and the last in which it has called __threadfence. A block that has
// called an atomic function may read what blocks before it have written and fenced.
struct Fenced {
    uint32_t first, last;
};
static std::vector<Fenced> fences;
static bool acquired;

// Of each thread: its fences to the async proxy, all of them and those before the epoch of the last.
struct Passed {
    uint32_t count, before, last;
};
static std::vector<Passed> passed;
static std::vector<uint16_t> borrowed;  // by 16 bytes of shared memory: how many wgmmas in flight read them

void pass_to_async_proxy(const Thread& thread) {
    Passed& own = passed[thread.number];
    if (own.last != epoch) own.before = own.count, own.last = epoch;
    ++own.count;
}

void begin_launch() {
    first_of_launch = ++epoch;
    fences.clear();
    shared_shadow.reset(shared_bytes());
    passed.assign(threads.size(), {});
    stamps.assign((threads.size() + WARP - 1) / WARP, 0);
    seen.assign(threads.size(), std::vector<uint32_t>(WARP, 0));
}

void begin_block() {
    first_of_block = ++epoch;
    borrowed.assign((shared_bytes() + 15) / 16, 0);
    fences.push_back({epoch, 0});
    acquired = false;
}

void fence() { fences.back().last = epoch; }

static bool released(uint32_t written) {
    if (!acquired) return false;
    const auto after = std::upper_bound(fences.begin(), fences.end(), written,
                                        [](uint32_t time, const Fenced& block) { return time < block.first; });
    return after != fences.begin() && (after - 1)->last >= written;
}

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
    const void* other;
};
static std::map<std::pair<const void*, std::string>, Finding> findings;

void find(const char* what, const std::string& where, const Thread& thread, const void* code, const void* other) {
    Finding& finding = findings[{code, what}];
    if (!finding.count++) {
        finding.other = other;
        finding.text = std::string(what) + where + " (block " + std::to_string(block.x) + "," +
                       std::to_string(block.y) + "," + std::to_string(block.z) + " thread " +
                       std::to_string(thread.number) + ")";
    }
}

// Hand over one finding and the places in the kernel's code; null when there is none left.
extern "C" const char* emulator_finding(const void** code, const void** other) {
    static std::string text;
    if (findings.empty()) return nullptr;
    const auto first = findings.begin();
    *code = first->first.first;
    *other = first->second.other;
    text = first->second.text;
    if (first->second.count > 1) text += ", " + std::to_string(first->second.count) + " times";
    findings.erase(first);
    return text.c_str();
}

static int32_t place_in_code(const void* code) {
    return static_cast<const char*>(code) - reinterpret_cast<const char*>(launch.kernel);
}

static const void* code_at(int32_t place) { return reinterpret_cast<const char*>(launch.kernel) + place; }

static bool before(const Thread& thread, unsigned other, uint32_t stamp) {
    return other / WARP == thread.warp && seen[thread.number][other % WARP] > stamp;
}

// What is wrong with an access, or null; `other` is where the other side of a race is.
struct Fault {
    const char* what = nullptr;
    int32_t other = 0;
};

// Another thread has written last, and no barrier has come since.
static bool written_by_other(const Record& record, const Thread& thread) {
    return record.write_epoch == epoch && record.writer != thread.number &&
           !before(thread, record.writer, record.write_stamp);
}

static bool written_by_other_block(const Record& record) {
    return record.write_epoch >= first_of_launch && record.write_epoch < first_of_block;
}

static Fault fault_of_read(const Record& record, const Thread& thread, bool in_shared, bool empty) {
    const char* fault = nullptr;
    if (record.write_epoch == IN_FLIGHT)
        fault = "reads the target of an asynchronous copy that has not arrived, ";
    else if (in_shared && record.write_epoch < first_of_block)
        fault = "reads what this block has never written, ";
    else if (empty && !record.write_epoch)
        fault = "reads what nobody has written, ";
    else if (written_by_other_block(record) && !released(record.write_epoch))
        fault = "race: reads what another block of this launch has written, ";
    else if (written_by_other(record, thread))
        fault = "race: reads what another thread has written since the last barrier, ";
    return {fault, record.write_at};
}

static Fault read(Record& record, const Thread& thread, bool in_shared, bool empty, int32_t at) {
    const Fault fault = fault_of_read(record, thread, in_shared, empty);
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
    record.read_at = at;
    return fault;
}

// A wgmma reads by the async proxy: each thread must have passed on what it has written, before a barrier.
static Fault begin_read(const Record& record, const Thread& thread) {
    const Fault fault = fault_of_read(record, thread, true, false);
    if (fault.what) return fault;
    const Passed writer = record.writer == SEVERAL ? Passed{} : passed[record.writer];
    const bool late = writer.last == epoch && record.writer / WARP != thread.warp;
    if ((late ? writer.before : writer.count) > record.write_fences) return fault;
    return {"a wgmma reads what no fence.proxy.async of its writer has passed on, ", record.write_at};
}

// The wgmmas of a warp are done with what they have read: its own lanes may overwrite it, others after a barrier.
static void end_read(Record& record, const Thread& thread, int32_t at) {
    if (record.read_epoch != epoch) {
        if (record.read_epoch < first_of_block) record.read_before = record.read_epoch;
        record.read_epoch = epoch;
        record.read_warp = thread.warp;
        record.readers = 0;
    } else if (record.read_warp != thread.warp) {
        record.read_warp = SEVERAL;
    }
    record.read_at = at;
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

static Fault write(Record& record, const Thread& thread, bool in_shared, Access access, int32_t at) {
    const char* fault = nullptr;
    int32_t other = record.write_at;
    if (record.write_epoch == IN_FLIGHT && access != ARRIVE)
        fault = "overwrites the target of an asynchronous copy that has not arrived, ";
    else if (written_by_other(record, thread))
        fault = "race: overwrites what another thread has written since the last barrier, ";
    else if (read_by_others(record, thread))
        fault = "race: overwrites what another thread has read since the last barrier, ", other = record.read_at;
    else if (written_by_other_block(record) && !in_shared)
        fault = "race: overwrites what another block of this launch has written, ";
    else if (!in_shared && read_by_other_block(record))
        fault = "race: overwrites what another block of this launch has read, ", other = record.read_at;
    record.atomic = false;
    record.write_at = at;
    record.write_epoch = access == ISSUE ? IN_FLIGHT : epoch;
    record.write_stamp = stamps[thread.warp];
    record.write_fences = passed[thread.number].count;
    record.writer = thread.number;
    return {fault, other};
}

// An atomic function reads and writes; none of them races with another. What several threads have done by them is
// nobody's own.
static Fault change(Record& record, const Thread& thread, bool in_shared, bool empty, int32_t at) {
    const bool after_atomic = record.atomic && record.write_epoch >= first_of_launch;
    const char* fault = nullptr;
    int32_t other = record.write_at;
    if (in_shared && record.write_epoch < first_of_block)
        fault = "reads what this block has never written, ";
    else if (empty && !record.write_epoch)
        fault = "reads what nobody has written, ";
    else if (!after_atomic && written_by_other(record, thread))
        fault = "race: an atomic function changes what another thread has written since the last barrier, ";
    else if (!after_atomic && !in_shared && written_by_other_block(record))
        fault = "race: an atomic function changes what another block of this launch has written, ";
    else if (read_by_others(record, thread))
        fault = "race: an atomic function changes what another thread has read since the last barrier, ",
        other = record.read_at;
    // What the thread has written itself, without an atomic function, is still what others must not touch.
    if (!record.atomic && record.write_epoch == epoch && record.writer == thread.number) return {fault, other};
    const bool alone = !(record.atomic && record.write_epoch == epoch) || record.writer == thread.number;
    record.atomic = true;
    record.write_at = at;
    record.write_epoch = epoch;
    record.write_stamp = stamps[thread.warp];
    record.writer = alone ? thread.number : SEVERAL;
    return {fault, other};
}

// All that the kernel may reach beside arrays and shared memory; a write elsewhere would destroy what is Python's.
static bool may_touch(uintptr_t address) {
    return address - reinterpret_cast<uintptr_t>(launch.own->begin) <
           static_cast<uintptr_t>(launch.own->end - launch.own->begin);
}

// Count what wgmmas in flight read, and find who overwrites it.
static void borrow(size_t offset, size_t bytes, Access access, Fault& fault) {
    for (size_t at = offset / 16; at * 16 < offset + bytes; ++at) {
        if (access == BEGIN_READ)
            ++borrowed[at];
        else if (access == END_READ)
            --borrowed[at];
        else if (access != READ && borrowed[at])
            fault = {"overwrites what a wgmma in flight reads, "};
    }
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
    if (access == ATOMIC && !in_shared) acquired = true;
    if (!in_shared && (!array || array->device != launch.device)) {  // it faults if it is wrong
        if (!launch.own || may_touch(from)) return;
        find(access == READ ? "out of bounds: reads " : "out of bounds: writes ", place(from), thread, code);
        abandon("");
    }
    const Span span = in_shared ? shared_span(from) : Span{array->start, array->bytes, 0};
    const uintptr_t start = reinterpret_cast<uintptr_t>(span.start);
    if (from < start || from + bytes > start + span.bytes) {
        const uintptr_t worst = from < start ? from : std::max(from, start + span.bytes);
        find(access == READ ? "out of bounds: reads " : "out of bounds: writes ", place(worst), thread, code);
        if (launch.own && span.start == launch.own->fixed) abandon("");
        return;
    }
    Shadow& shadow = in_shared ? shared_shadow : shadow_of(*array);
    const size_t offset = from - start + span.offset;
    const bool empty = array && array->empty;
    const int32_t at = place_in_code(code);
    Record* const first = shadow.begin(offset, bytes);
    Record* const end = shadow.end(offset, bytes);
    Fault fault;
    for (Record* record = first; record != end; ++record) {
        Fault found;
        if (access == READ)
            found = read(*record, thread, in_shared, empty, at);
        else if (access == ATOMIC)
            found = change(*record, thread, in_shared, empty, at);
        else if (access == BEGIN_READ)
            found = begin_read(*record, thread);
        else if (access == END_READ)
            end_read(*record, thread, at);
        else
            found = write(*record, thread, in_shared, access, at);
        if (found.what) fault = found;
    }
    if (in_shared) borrow(offset, bytes, access, fault);
    if (!fault.what) return;
    const std::string size = launch.own ? " @" + std::to_string(bytes) : "";  // of an element, as it seems
    find(fault.what, place(from) + size, thread, code, code_at(fault.other));
}

}  // namespace emulator::checker
