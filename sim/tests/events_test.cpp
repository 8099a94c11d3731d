// Event unit and timer: who is woken when, in which order, with which value.
#include <vector>

#include "check.hpp"
#include "core.hpp"
#include "event_unit.hpp"
#include "timer.hpp"

using namespace siracusa;

namespace {

struct Woken final : Sleepers {
    struct Wake {
        int core;
        Cycle at;
        std::uint32_t value;
    };
    std::vector<Wake> all;
    void wake(int core, Cycle now, std::uint32_t value) override { all.push_back({core, now, value}); }
};

constexpr std::uint32_t kMask = 0x00, kWait = 0x38, kWaitClear = 0x3c, kDispatch = 0x80, kTeam = 0x84, kMutex = 0xc0, kBarrier = 0x200;

void events_wake_who_waits() {
    Woken woken;
    EventUnit unit(woken);
    unit.write(2, kMask, 1u << 12 | 1, 0);
    CHECK(unit.read(2, kWaitClear, 10).sleep);
    unit.raise(11, 0, 20);                                               // not enabled
    CHECK(woken.all.empty());
    unit.raise(12, 1u << 3, 25);                                         // another core
    CHECK(woken.all.empty());
    unit.raise(12, 0, 30);
    CHECK(woken.all.size() == 1 && woken.all[0].core == 2 && woken.all[0].at == 30 && woken.all[0].value == 1u << 12);
    CHECK(unit.buffer(2) == 1u << 11);                                   // only what was enabled is cleared
    unit.raise(12, 1u << 2, 40);
    CHECK(unit.read(2, kWait, 50).sleep);                                // already there: woken at once, not cleared
    CHECK(woken.all.size() == 2 && woken.all[1].at == 50);
    CHECK(unit.buffer(2) == (1u << 12 | 1u << 11));
}

void barriers_wait_for_all() {
    Woken woken;
    EventUnit unit(woken);
    unit.write(0, kBarrier, 0x0d, 0);
    unit.write(0, kBarrier + 0x0c, 0x0d, 0);
    for (const int core : {0, 2, 3}) unit.write(core, kMask, 1u << kEventBarrier, 0);
    CHECK(unit.read(3, kBarrier + 0x1c, 10).sleep);
    CHECK(unit.read(0, kBarrier + 0x1c, 11).sleep);
    CHECK(unit.barrier_status(0) == 0x09 && woken.all.empty());
    CHECK(unit.read(2, kBarrier + 0x1c, 12).sleep);
    CHECK(woken.all.size() == 3 && woken.all[0].core == 0 && woken.all[1].core == 3 && woken.all[2].core == 2);
    for (const auto &wake : woken.all) CHECK(wake.at == 12);
    CHECK(unit.barrier_status(0) == 0 && unit.buffer(0) == 0 && unit.buffer(2) == 0);
}

void mutex_passes_to_the_lowest_waiting_core() {
    Woken woken;
    EventUnit unit(woken);
    for (int core = 0; core < 8; core++) unit.write(core, kMask, 1u << kEventMutex, 0);
    CHECK(!unit.read(3, kMutex, 1).sleep);
    for (const int core : {5, 1, 7}) CHECK(unit.read(core, kMutex, 2).sleep);
    CHECK(unit.mutex_owner(0) == 3);
    unit.write(3, kMutex, 77, 10);
    CHECK(woken.all.size() == 1 && woken.all[0].core == 1 && woken.all[0].value == 77 && unit.mutex_owner(0) == 1);
    unit.write(1, kMutex, 78, 20);
    unit.write(5, kMutex, 79, 30);
    CHECK(woken.all.size() == 3 && woken.all[1].core == 5 && woken.all[2].core == 7);
    unit.write(7, kMutex, 0, 40);
    CHECK(unit.mutex_owner(0) == -1 && !unit.read(0, kMutex, 41).sleep);
}

void dispatch_reaches_its_team() {
    Woken woken;
    EventUnit unit(woken);
    for (int core = 0; core < 8; core++) unit.write(core, kMask, 1u << kEventDispatch, 0);
    unit.write(0, kTeam, 0x06, 0);
    for (const int core : {1, 3}) CHECK(unit.read(core, kDispatch, 5).sleep);
    unit.write(0, kDispatch, 111, 10);
    CHECK(woken.all.size() == 1 && woken.all[0].core == 1 && woken.all[0].value == 111);
    CHECK(unit.read(2, kDispatch, 11).value == 111);                     // came later, finds it
    unit.write(0, kTeam, 0x08, 12);
    unit.write(0, kDispatch, 222, 13);
    CHECK(woken.all.size() == 2 && woken.all[1].core == 3 && woken.all[1].value == 222);
    CHECK(unit.read(2, kDispatch, 14).sleep);                            // the second was not for core 2
}

void wrong_registers_are_refused() {
    Woken woken;
    EventUnit unit(woken);
    CHECK(!unit.read(0, 0x04, 0).ok && !unit.write(0, 0x1c, 0, 0).ok && !unit.read(0, kBarrier + 0x20 * 9, 0).ok);
    CHECK(!unit.write_shared(0x7f0, 0, 0).ok && !unit.read_shared(0x414, 0).ok);
}

void timer_counts_and_fires() {
    Timer timer;
    CHECK(timer.read(8, 100) == 0 && timer.next() == kNever);
    timer.write(0, 1, 100);
    CHECK(timer.read(8, 150) == 50);
    timer.write(0x10, 80, 150);
    timer.write(0, 5 | 16, 150);                                         // interrupt, cleared on match
    CHECK(timer.next() == 180 && timer.step(180) == 1 && timer.read(8, 190) == 10 && timer.next() == 260);
    timer.write(0, 0, 200);
    CHECK(timer.read(8, 500) == 20 && timer.next() == kNever);
}

}  // namespace

int main() {
    events_wake_who_waits();
    barriers_wait_for_all();
    mutex_passes_to_the_lowest_waiting_core();
    dispatch_reaches_its_team();
    wrong_registers_are_refused();
    timer_counts_and_fires();
    return check::failures != 0;
}
