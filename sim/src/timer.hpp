// A timer of 32 or (cascaded) 64 bits that counts cycles of its owner's clock.
#pragma once
#include <array>
#include <cstdint>

#include "types.hpp"

namespace siracusa {

class Timer {
  public:
    std::uint32_t read(std::uint32_t offset, Cycle now) const;
    void write(std::uint32_t offset, std::uint32_t value, Cycle now);

    // When a counter reaches its compare value with the interrupt enabled; kNever when it will not.
    Cycle next() const;
    // Handles the compare matches due at `now`; bit 0 / 1 of the result: event of the low / high counter.
    std::uint32_t step(Cycle now);

  private:
    struct Half {
        std::uint32_t config = 0, start = 0, compare = 0;
        Cycle since = 0;
        bool running() const { return config & 1; }
        std::uint32_t value(Cycle now) const { return running() ? start + static_cast<std::uint32_t>(now - since) : start; }
        void set(std::uint32_t value, Cycle now) { start = value, since = now; }
    };
    Cycle due(const Half &half) const;
    void configure(Half &half, std::uint32_t value, Cycle now);

    std::array<Half, 2> halves_{};
};

}  // namespace siracusa
