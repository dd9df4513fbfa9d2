// The cost of a warp's requests, by place in the code: wavefronts in shared memory, sectors of 32 bytes in global.
//
// The n-th access of every lane at one place, between two barriers, makes one request. Shared memory has 32 banks of
// 4 bytes; lanes that ask for different words of one bank take turns. 32 lanes share a wavefront in accesses of up to
// 4 bytes, 16 in those of 8, 8 in those of 16. Ideal: one turn for each wavefront; as many sectors as the bytes fill.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>

#include "checker.h"

namespace emulator::requests {

// Of a kernel that takes many steps between two barriers, the first requests of each lane at one place stand for all.
constexpr size_t KEPT = 4096;

struct Piece {
    uintptr_t address;
    size_t bytes;
};

struct Total {
    const void* code;
    int in_shared, write;
    uint64_t requests, cost, ideal;
};

typedef std::tuple<const void*, bool, bool> Place;  // code, in shared memory, writes

static std::map<std::pair<unsigned, Place>, std::array<std::vector<Piece>, WARP>> open;  // by warp
static std::map<Place, Total> totals;

void begin_launch() {
    open.clear();
    totals.clear();
}

void note(const Thread& thread, const void* address, size_t bytes, bool write, const void* code) {
    const uintptr_t place = reinterpret_cast<uintptr_t>(address);
    const bool in_shared = is_shared(place);
    if (!in_shared && !array_near(place)) return;
    std::vector<Piece>& pieces = open[{thread.warp, Place(code, in_shared, write)}][thread.lane];
    if (!launch.own || pieces.size() < KEPT) pieces.push_back({place, bytes});
}

static uint64_t turns(const Piece* pieces, size_t count) {
    std::array<std::set<uintptr_t>, 32> words;
    for (const Piece* piece = pieces; piece != pieces + count; ++piece)
        for (uintptr_t word = piece->address / 4; word <= (piece->address + piece->bytes - 1) / 4; ++word)
            words[word % 32].insert(word);
    size_t most = 0;
    for (const auto& bank : words) most = std::max(most, bank.size());
    return most;
}

static void add(Total& total, const std::vector<Piece>& pieces) {
    ++total.requests;
    if (total.in_shared) {
        const size_t bytes = pieces.front().bytes, lanes = bytes <= 4 ? 32 : bytes <= 8 ? 16 : 8;
        for (size_t i = 0; i < pieces.size(); i += lanes) {
            total.cost += turns(&pieces[i], std::min(lanes, pieces.size() - i));
            ++total.ideal;
        }
        return;
    }
    std::set<uintptr_t> sectors, touched;
    for (const Piece& piece : pieces) {
        const uintptr_t start = reinterpret_cast<uintptr_t>(array_near(piece.address)->start);
        for (size_t byte = 0; byte < piece.bytes; ++byte) {
            touched.insert(piece.address + byte);
            sectors.insert((piece.address + byte - start) / 32);
        }
    }
    total.cost += sectors.size();
    total.ideal += (touched.size() + 31) / 32;
}

// A barrier, or the end of a block: what the lanes have asked for belongs together.
void end_of_interval() {
    for (const auto& [key, lanes] : open) {
        const auto& [code, in_shared, write] = key.second;
        Total& total = totals.try_emplace(key.second, Total{code, in_shared, write, 0, 0, 0}).first->second;
        size_t most = 0;
        for (const auto& pieces : lanes) most = std::max(most, pieces.size());
        for (size_t i = 0; i < most; ++i) {
            std::vector<Piece> together;
            for (const auto& pieces : lanes)
                if (i < pieces.size()) together.push_back(pieces[i]);
            add(total, together);
        }
    }
    open.clear();
}

// Hand over the total of one place; false when there is none left.
extern "C" bool emulator_requests(Total* total) {
    if (totals.empty()) return false;
    *total = totals.begin()->second;
    totals.erase(totals.begin());
    return true;
}

}  // namespace emulator::requests
