// Memory for records: pages that are zero, and there, only once they are touched.
#include "shadow.h"

#include <sys/mman.h>

namespace emulator::checker {

void Shadow::release() {
    if (records) munmap(records, bytes * sizeof(Record));
    records = nullptr;
}

void Shadow::reset(size_t wanted) {
    release();
    bytes = wanted;
    shift = 2;
    if (!bytes) return;
    void* place = mmap(nullptr, bytes * sizeof(Record), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) abandon("no memory for the records of the checker");
    records = static_cast<Record*>(place);
}

static bool used(const Record& record) { return record.write_epoch || record.read_epoch; }

// Give every record to the smaller parts that it has stood for.
void Shadow::refine(unsigned finer) {
    const unsigned parts = 1u << (shift - finer);
    for (size_t i = bytes >> shift; i-- > 0;) {
        const Record whole = records[i];
        for (unsigned part = 0; part < parts; ++part) {
            Record& place = records[i * parts + part];
            if (used(whole) || used(place)) place = whole;  // memory that is zero is not touched
        }
    }
    shift = finer;
}

}  // namespace emulator::checker
