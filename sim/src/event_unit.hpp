// The cluster's event unit: event buffers and masks, software events, barriers, mutexes, the dispatch queue.
#pragma once
#include <array>
#include <cstdint>

#include "types.hpp"

namespace siracusa {

enum class Waiting : std::uint8_t;

// Who is woken: implemented by the SoC.
class Sleepers {
  public:
    virtual ~Sleepers() = default;
    // The event that `core` waited for came at `now`; its pending load returns `value`.
    virtual void wake(int core, Cycle now, std::uint32_t value) = 0;
};

class EventUnit {
  public:
    explicit EventUnit(Sleepers &sleepers) : sleepers_(sleepers) {}

    struct Reply {
        bool ok = true;            // false: no such register, or not in this direction
        bool sleep = false;        // the core waits; Sleepers::wake brings the value (possibly before this returns)
        std::uint32_t value = 0;
        Waiting why{};             // with sleep: what for
        std::uint32_t what = 0;
    };
    // A 32-bit access by `core` to its private port at `offset` (0 .. 0x3ff).
    Reply read(int core, std::uint32_t offset, Cycle now);
    Reply write(int core, std::uint32_t offset, std::uint32_t value, Cycle now);
    // An access through the shared port.
    Reply read_shared(std::uint32_t offset, Cycle now);
    Reply write_shared(std::uint32_t offset, std::uint32_t value, Cycle now);

    // Raise event number `event` at the cores of `mask`, 0 meaning all.
    void raise(int event, std::uint32_t mask, Cycle now);

    std::uint32_t buffer(int core) const { return cores_[static_cast<std::size_t>(core)].buffer; }
    std::uint32_t mask(int core) const { return cores_[static_cast<std::size_t>(core)].mask; }
    std::uint32_t barrier_status(std::uint32_t barrier) const { return barriers_[barrier % kBarriers].status; }
    std::uint32_t barrier_mask(std::uint32_t barrier) const { return barriers_[barrier % kBarriers].trigger; }
    int mutex_owner(std::uint32_t mutex) const { return mutexes_[mutex % kMutexes].owner; }

  private:
    static constexpr std::uint32_t kBarriers = 9, kMutexes = 8, kQueue = 8;
    struct CoreEvents {
        std::uint32_t buffer = 0, mask = 0, irq_mask = 0;
        std::uint32_t clear = 0;       // bits to clear in the buffer on wake-up
        std::uint32_t value = 0;       // what a mutex or the dispatch queue hands over
        bool waiting = false, has_value = false;
        std::uint32_t tail = 0;        // own place in the dispatch queue
    };
    struct Barrier { std::uint32_t trigger = 0, status = 0, target = 0; };
    struct Mutex { bool locked = false; std::uint32_t waiting = 0; int owner = -1; };
    struct Dispatch { std::uint32_t value = 0, unread = 0, team = 0, waiting = 0; };

    CoreEvents &at(int core) { return cores_[static_cast<std::size_t>(core)]; }
    Reply core_read(int core, std::uint32_t offset, Cycle now);
    Reply core_write(int core, std::uint32_t offset, std::uint32_t value, Cycle now);
    Reply wait(int core, std::uint32_t clear, Cycle now, Waiting why, std::uint32_t what);
    void check(int core, Cycle now);
    void check_barrier(Barrier &barrier, Cycle now);
    Reply barrier_read(int core, std::uint32_t offset, Cycle now);
    Reply barrier_write(int core, std::uint32_t offset, std::uint32_t value, Cycle now);
    void unlock(Mutex &mutex, std::uint32_t value, Cycle now);
    Reply dispatch_read(int core, Cycle now);
    void dispatch_push(std::uint32_t value, Cycle now);

    Sleepers &sleepers_;
    std::array<CoreEvents, kClusterCores> cores_{};
    std::array<Barrier, kBarriers> barriers_{};
    std::array<Mutex, kMutexes> mutexes_{};
    std::array<Dispatch, kQueue> queue_{};
    std::uint32_t head_ = 0, team_ = 0;
};

}  // namespace siracusa
