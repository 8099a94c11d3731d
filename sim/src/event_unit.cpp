#include "event_unit.hpp"

#include "core.hpp"

namespace siracusa {
namespace {
constexpr std::uint32_t bit(int core) { return 1u << core; }
constexpr EventUnit::Reply invalid() { return {.ok = false}; }
}  // namespace

void EventUnit::raise(int event, std::uint32_t mask, Cycle now) {
    for (int core = 0; core < kClusterCores; core++) {
        if (mask != 0 && !(mask & bit(core))) continue;
        at(core).buffer |= 1u << event;
        check(core, now);
    }
}

// Wakes the core if it waits and an enabled event is in its buffer.
void EventUnit::check(int core, Cycle now) {
    CoreEvents &c = at(core);
    if (!c.waiting || !(c.buffer & c.mask)) return;
    c.waiting = false;
    const std::uint32_t value = c.has_value ? c.value : c.buffer & c.mask;
    c.buffer &= ~c.clear;
    c.clear = 0, c.has_value = false;
    sleepers_.wake(core, now, value);
}

EventUnit::Reply EventUnit::wait(int core, std::uint32_t clear, Cycle now, Waiting why, std::uint32_t what) {
    CoreEvents &c = at(core);
    c.clear = clear, c.waiting = true;
    check(core, now);
    return {.sleep = true, .why = why, .what = what};
}

EventUnit::Reply EventUnit::core_read(int core, std::uint32_t offset, Cycle now) {
    const CoreEvents &c = at(core);
    switch (offset) {
        case 0x00: return {.value = c.mask};
        case 0x0c: return {.value = c.irq_mask};
        case 0x18: return {.value = 1};
        case 0x1c: return {.value = c.buffer};
        case 0x20: return {.value = c.buffer & c.mask};
        case 0x24: return {.value = c.buffer & c.irq_mask};
        case 0x38: return wait(core, 0, now, Waiting::event, c.mask);
        case 0x3c: return wait(core, c.mask, now, Waiting::event, c.mask);
        default: return invalid();
    }
}

EventUnit::Reply EventUnit::core_write(int core, std::uint32_t offset, std::uint32_t value, Cycle now) {
    CoreEvents &c = at(core);
    switch (offset) {
        case 0x00: c.mask = value; break;
        case 0x04: c.mask &= ~value; break;
        case 0x08: c.mask |= value; break;
        case 0x0c: c.irq_mask = value; break;
        case 0x10: c.irq_mask &= ~value; break;
        case 0x14: c.irq_mask |= value; break;
        case 0x28: c.buffer &= ~value; break;
        default: return invalid();
    }
    check(core, now);
    return {};
}

EventUnit::Reply EventUnit::read(int core, std::uint32_t offset, Cycle now) {
    if (offset < 0x40) return core_read(core, offset, now);
    if (offset == 0x80) return dispatch_read(core, now);
    if (offset == 0x84) return {.value = team_};
    if (offset >= 0xc0 && offset < 0xc0 + 4 * kMutexes) {
        const std::uint32_t number = (offset - 0xc0) >> 2;
        Mutex &mutex = mutexes_[number];
        if (!mutex.locked) {
            mutex.locked = true, mutex.owner = core;
            return {};
        }
        mutex.waiting |= bit(core);
        return wait(core, 1u << kEventMutex, now, Waiting::mutex, number);
    }
    if (offset >= 0x140 && offset < 0x1c0) {      // software event: trigger (all cores) and wait, at 0x180 also clear
        raise(static_cast<int>(offset >> 2 & 7), 0, now);
        return wait(core, offset >= 0x180 ? at(core).mask : 0, now, Waiting::event, at(core).mask);
    }
    if (offset >= 0x200) return barrier_read(core, offset - 0x200, now);
    return invalid();
}

EventUnit::Reply EventUnit::write(int core, std::uint32_t offset, std::uint32_t value, Cycle now) {
    if (offset < 0x40) return core_write(core, offset, value, now);
    if (offset == 0x80) {
        dispatch_push(value, now);
        return {};
    }
    if (offset == 0x84) {
        team_ = value;
        return {};
    }
    if (offset >= 0xc0 && offset < 0xc0 + 4 * kMutexes) {
        unlock(mutexes_[(offset - 0xc0) >> 2], value, now);
        return {};
    }
    if (offset >= 0x100 && offset < 0x140) {
        raise(static_cast<int>(offset >> 2 & 15), value, now);
        return {};
    }
    if (offset >= 0x200) return barrier_write(core, offset - 0x200, value, now);
    return invalid();
}

// The shared port: the cores' registers 64 bytes apart, barriers at 0x400, software events at 0x600, an empty SoC event queue.
EventUnit::Reply EventUnit::read_shared(std::uint32_t offset, Cycle now) {
    if (offset < 0x40u * kClusterCores && (offset & 63) < 0x38) return core_read(static_cast<int>(offset >> 6), offset & 63, now);
    if (offset >= 0x400 && offset < 0x600 && (offset & 31) <= 0x0c) return barrier_read(-1, offset - 0x400, now);
    if (offset == 0x700) return {};
    return invalid();
}
EventUnit::Reply EventUnit::write_shared(std::uint32_t offset, std::uint32_t value, Cycle now) {
    if (offset < 0x40u * kClusterCores) return core_write(static_cast<int>(offset >> 6), offset & 63, value, now);
    if (offset >= 0x400 && offset < 0x600) return barrier_write(-1, offset - 0x400, value, now);
    if (offset >= 0x600 && offset < 0x640) {
        raise(static_cast<int>(offset >> 2 & 15), value, now);
        return {};
    }
    return invalid();
}

// A barrier fires when exactly the cores of its trigger mask have arrived.
void EventUnit::check_barrier(Barrier &barrier, Cycle now) {
    if (barrier.status != barrier.trigger) return;
    barrier.status = 0;
    raise(kEventBarrier, barrier.target, now);
}

EventUnit::Reply EventUnit::barrier_read(int core, std::uint32_t offset, Cycle now) {
    const std::uint32_t number = offset >> 5;
    if (number >= kBarriers) return invalid();
    Barrier &barrier = barriers_[number];
    switch (offset & 31) {
        case 0x00: return {.value = barrier.trigger};
        case 0x04: return {.value = barrier.status};
        case 0x08: {
            std::uint32_t all = 0;
            for (std::uint32_t k = 1; k < kBarriers; k++) all |= barriers_[k].status;
            return {.value = all};
        }
        case 0x0c: return {.value = barrier.target};
        case 0x14: case 0x18: case 0x1c: {
            if (core < 0) return invalid();
            barrier.status |= bit(core);
            check_barrier(barrier, now);
            if ((offset & 31) == 0x14) return {};
            return wait(core, (offset & 31) == 0x1c ? at(core).mask : 0, now, Waiting::barrier, number);
        }
        default: return invalid();
    }
}

EventUnit::Reply EventUnit::barrier_write(int core, std::uint32_t offset, std::uint32_t value, Cycle now) {
    const std::uint32_t number = offset >> 5;
    if (number >= kBarriers) return invalid();
    Barrier &barrier = barriers_[number];
    switch (offset & 31) {
        case 0x00: barrier.trigger = value; break;
        case 0x04: barrier.status = value; break;
        case 0x0c: barrier.target = value; break;
        case 0x10: barrier.status |= value; break;
        case 0x14:
            if (core < 0) return invalid();
            barrier.status |= bit(core);
            break;
        default: return invalid();
    }
    check_barrier(barrier, now);
    return {};
}

// Ownership passes to the lowest-numbered waiting core, which receives the stored word.
void EventUnit::unlock(Mutex &mutex, std::uint32_t value, Cycle now) {
    if (mutex.waiting == 0) {
        mutex.locked = false, mutex.owner = -1;
        return;
    }
    const int next = __builtin_ctz(mutex.waiting);
    mutex.waiting &= ~bit(next), mutex.owner = next;
    at(next).value = value, at(next).has_value = true;
    raise(kEventMutex, bit(next), now);
}

// Every core reads the queue at its own pace; entries for other teams are skipped.
EventUnit::Reply EventUnit::dispatch_read(int core, Cycle now) {
    CoreEvents &c = at(core);
    const auto entry = [&]() -> Dispatch & { return queue_[c.tail]; };
    while ((entry().unread & bit(core)) && !(entry().team & bit(core))) {
        entry().unread &= ~bit(core);
        c.tail = (c.tail + 1) % kQueue;
    }
    Dispatch &dispatch = entry();
    if (dispatch.unread & bit(core)) {
        dispatch.unread &= ~bit(core);
        c.tail = (c.tail + 1) % kQueue;
        return {.value = dispatch.value};
    }
    dispatch.waiting |= bit(core);
    return wait(core, 1u << kEventDispatch, now, Waiting::dispatch, c.tail);
}

void EventUnit::dispatch_push(std::uint32_t value, Cycle now) {
    Dispatch &dispatch = queue_[head_];
    head_ = (head_ + 1) % kQueue;
    dispatch.team = team_, dispatch.value = value, dispatch.unread = ~0u;
    const std::uint32_t waiting = dispatch.waiting;
    for (int core = 0; core < kClusterCores; core++) {
        if (!(waiting & bit(core))) continue;
        dispatch.waiting &= ~bit(core), dispatch.unread &= ~bit(core);
        CoreEvents &c = at(core);
        c.tail = (c.tail + 1) % kQueue;
        if (dispatch.team & bit(core)) {
            c.value = value, c.has_value = true;
            raise(kEventDispatch, bit(core), now);
        } else {
            queue_[c.tail].waiting |= bit(core);     // sleeps on, now for the next entry
        }
    }
}

}  // namespace siracusa
