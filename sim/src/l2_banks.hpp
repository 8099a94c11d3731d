// The L2 memory's banks: two private memories of one bank, a shared one of four word-interleaved banks, one word per
// cycle each, first come first served.
#pragma once
#include <array>
#include <cstdint>

#include "types.hpp"

namespace siracusa {

// Clock periods in picoseconds after reset: SoC and fabric controller 50 MHz, cluster 72.03 MHz.
inline constexpr Cycle kSocPeriod = 20000, kClusterPeriod = 13883;

class L2Banks {
  public:
    // Occupies the banks under [offset, offset + size) at SoC cycle `now`; the wait of the slowest word.
    std::uint32_t access(std::uint32_t offset, std::uint32_t size, Cycle now) {
        std::uint32_t wait = 0;
        const std::uint32_t last = (offset + size - 1) >> 2;
        for (std::uint32_t word = offset >> 2; word <= last; word++) {
            Cycle &free = next_free_[bank(word)];
            const Cycle start = free > now ? free : now;
            free = start + 1;
            const auto delay = static_cast<std::uint32_t>(start - now);
            wait = delay > wait ? delay : wait;
        }
        return wait;
    }

  private:
    static std::size_t bank(std::uint32_t word) { return word < 0x2000 ? 0 : word < 0x4000 ? 1 : 2 + (word & 3); }
    std::array<Cycle, 6> next_free_{};
};

}  // namespace siracusa
