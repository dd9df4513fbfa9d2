// What is remembered about every byte of a memory: who wrote it last and who has read it since.
#pragma once
#include "state.h"

namespace emulator::checker {

// Epochs count the barriers and blocks of all launches; 0 is before any. Stamps count the __syncwarps of a warp.
struct Record {
    uint32_t write_epoch, write_stamp;
    uint32_t read_epoch, read_stamp;
    uint32_t read_before;  // the last epoch before in which another block has read it
    uint32_t readers;      // lanes of the warp that reads in read_epoch
    uint32_t write_fences;  // of the writer's to the async proxy, before it wrote
    uint16_t writer, read_warp;
    bool atomic;               // the last write
    int32_t write_at, read_at; // where in the code, from the kernel's entry on
};

constexpr uint16_t SEVERAL = 0xffff;  // warps

// Records for memory that starts at a multiple of 16: one for four bytes, until somebody reads or writes fewer.
class Shadow {
    Record* records = nullptr;
    size_t bytes = 0;
    unsigned shift = 2;

    void refine(unsigned finer);
    void release();

   public:
    Shadow() = default;
    Shadow(const Shadow&) = delete;
    ~Shadow() { release(); }

    // Forget everything, and make room for `bytes`.
    void reset(size_t bytes);

    // Return the records of some bytes; `end` is the first behind them.
    Record* begin(size_t offset, size_t count) {
        const unsigned odd = (offset | count) & 3u;
        const unsigned finest = odd & 1u ? 0 : odd ? 1 : 2;
        if (finest < shift) refine(finest);
        return records + (offset >> shift);
    }
    Record* end(size_t offset, size_t count) { return records + ((offset + count) >> shift); }
};

}  // namespace emulator::checker
