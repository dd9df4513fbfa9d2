// Operations of a warp: the lanes that a mask names meet, and the last to come does the work for all.
#include "checker.h"
#include "state.h"

namespace emulator {

struct Meeting {
    Work work;
    unsigned mask, arrived;
    int line;
};

struct Warp {
    unsigned alive;
    unsigned count;  // of meetings that wait for somebody; their masks do not overlap
    Meeting meetings[WARP];
};

static std::vector<Warp> warps;

void begin_warps() {
    const unsigned count = threads.size();
    warps.resize((count + WARP - 1) / WARP);
    for (unsigned i = 0; i < warps.size(); ++i) {
        const unsigned lanes = count - i * WARP;
        warps[i].alive = lanes >= WARP ? ~0u : (1u << lanes) - 1;
        warps[i].count = 0;
    }
}

static void close(Warp& warp, Meeting& meeting) {
    const unsigned first = (&warp - warps.data()) * WARP;
    const unsigned arrived = meeting.arrived;
    const Work work = meeting.work;
    meeting = warp.meetings[--warp.count];
    work(&threads[first], arrived);
    make_ready(first, WARP, arrived);
}

// Let the running lane wait until all lanes of the mask that have not ended are here, and the work is done.
static void meet(Work work, unsigned mask, int line) {
    Warp& warp = warps[running->warp];
    const unsigned bit = 1u << running->lane;
    if (!(mask & bit)) abandon("a lane is not in the mask of its own warp operation");
    Meeting* meeting = warp.meetings;
    Meeting* const end = meeting + warp.count;
    while (meeting != end && !(meeting->mask & mask)) ++meeting;
    if (meeting == end) {
        *meeting = {work, mask, 0, line};
        ++warp.count;
    } else if (meeting->mask != mask || meeting->work != work || meeting->line != line) {
        abandon("the lanes of a warp disagree on the operation, its mask or its place");
    }
    meeting->arrived |= bit;
    if (meeting->arrived == (mask & warp.alive)) close(warp, *meeting);
    pause();
}

// A lane has ended: the others do not wait for it.
void leave_warp() {
    Warp& warp = warps[running->warp];
    warp.alive &= ~(1u << running->lane);
    for (unsigned i = warp.count; i-- > 0;) {
        Meeting& meeting = warp.meetings[i];
        if (meeting.arrived == (meeting.mask & warp.alive)) close(warp, meeting);
    }
}

std::string waiting_at_warps() {
    std::string text;
    for (const Warp& warp : warps) {
        for (unsigned i = 0; i < warp.count; ++i) {
            const Meeting& meeting = warp.meetings[i];
            text += std::to_string(__builtin_popcount(meeting.arrived)) + " lanes of warp " +
                    std::to_string(&warp - warps.data()) + " wait for others";
            if (meeting.line) text += " at line " + std::to_string(meeting.line);
            text += ", ";
        }
    }
    return text;
}

static void order(Thread* lanes, unsigned arrived) {
    if (launch.checked) checker::warp_is_ordered(lanes->warp, arrived);
}

void warp_barrier(unsigned mask, int line) {
    called_from = __builtin_return_address(0);
    meet(order, mask, line);
}

static void move(Thread* lanes, unsigned arrived) {
    Bits moved[WARP];
    for (unsigned i = 0; i < WARP; ++i) {
        if (!(arrived >> i & 1u)) continue;
        const unsigned source = lanes[i].source;
        moved[i] = arrived >> source & 1u ? lanes[source].value : ~Bits(0);
        if (launch.own && !(arrived >> source & 1u))
            checker::find("takes the value of a lane that takes no part, ", "lane " + std::to_string(source), lanes[i],
                          called_from);
    }
    for (unsigned i = 0; i < WARP; ++i)
        if (arrived >> i & 1u) lanes[i].value = moved[i];
}

Bits exchange(unsigned mask, Bits value, unsigned source, int line) {
    called_from = __builtin_return_address(0);
    running->value = value;
    running->source = source % WARP;
    meet(move, mask, line);
    return running->value;
}

static void vote(Thread* lanes, unsigned arrived) {
    unsigned votes = 0;
    for (unsigned i = 0; i < WARP; ++i)
        if (arrived >> i & 1u && lanes[i].value) votes |= 1u << i;
    for (unsigned i = 0; i < WARP; ++i)
        if (arrived >> i & 1u) lanes[i].value = votes;
}

unsigned ballot(unsigned mask, int predicate, int line) {
    called_from = __builtin_return_address(0);
    running->value = predicate != 0;
    meet(vote, mask, line);
    return running->value;
}

void meet_all(Work work) { meet(work, ~0u, 0); }

}  // namespace emulator
