// The L2 memory's banks: two private memories of one bank, a shared one of four word-interleaved banks, one word per
// cycle each, first come first served.
#pragma once
#include <array>
#include <cstdint>

#include "clocks.hpp"
#include "types.hpp"

namespace siracusa {

class L2Banks {
  public:
    explicit L2Banks(Timing timing) : timing_(timing) {}

    // Occupies the banks under [offset, offset + size); the wait of the slowest word. A cluster access is at cluster cycle
    // `now`, one of the fabric controller at its own. Accesses smaller than a word wait but occupy nothing.
    std::uint32_t from_cluster(std::uint32_t offset, std::uint32_t size, Cycle now) { return access(offset, size, clock_from_cluster(now)); }
    std::uint32_t from_fabric(std::uint32_t offset, std::uint32_t size, Cycle now) {
        return access(offset, size, timing_ == Timing::chip ? cluster_cycle(now) : now + resynchronised_);
    }

  private:
    // What the banks take for the time. gvsoc: the SoC clock as the reference simulator counts it. While the fabric
    // controller runs, its instructions advance that count, and each access from the cluster adds the same cycles once
    // more when it brings the clock up to date; so the banks recover twice as fast as they should, and the two
    // controllers hardly ever meet. chip: the cluster's clock.
    Cycle clock_from_cluster(Cycle now) {
        if (timing_ == Timing::chip) return now;
        const Cycle soc = soc_cycle(now);
        resynchronised_ = soc;
        return 2 * soc;
    }
    std::uint32_t access(std::uint32_t offset, std::uint32_t size, Cycle now) {
        std::uint32_t wait = 0;
        const std::uint32_t last = (offset + size - 1) >> 2;
        for (std::uint32_t word = offset >> 2; word <= last; word++) {
            Cycle &free = next_free_[bank(word)];
            const Cycle start = free > now ? free : now;
            free = start + (size >= 4 ? 1 : 0);
            const auto delay = static_cast<std::uint32_t>(start - now);
            wait = delay > wait ? delay : wait;
        }
        return wait;
    }
    static std::size_t bank(std::uint32_t word) { return word < 0x2000 ? 0 : word < 0x4000 ? 1 : 2 + (word & 3); }

    Timing timing_;
    Cycle resynchronised_ = 0;
    std::array<Cycle, 6> next_free_{};
};

}  // namespace siracusa
