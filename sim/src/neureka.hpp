// N-EUREKA as the rest of the simulator sees it: registers, time, counters.
#pragma once
#include <cstdint>
#include <memory>

#include "types.hpp"

namespace siracusa {

struct NeurekaCounters {
    Cycle busy = 0;
    double macs = 0;                  // scaled by weight bits / 8
    std::uint64_t macs_raw = 0;
    std::uint64_t weight_words = 0;   // 256-bit words from weight memory
    std::uint64_t jobs = 0;
};

class Neureka {
  public:
    Neureka(NpuHost &host, Timing timing);
    ~Neureka();

    // A core's 32-bit access to register `offset` (0 .. 0x3fc) at `now`; takes effect at once.
    std::uint32_t read(std::uint32_t offset, Cycle now);
    void write(std::uint32_t offset, std::uint32_t value, Cycle now);

    // The cycle in which step() has to be called next, kNever when idle. May change after write() and step().
    // step(now) is called with now == next(), after the cores of that cycle.
    Cycle next() const { return next_; }
    void step(Cycle now);

    bool busy() const;
    const NeurekaCounters &counters() const;

  private:
    struct State;
    std::unique_ptr<State> state_;
    Cycle next_ = kNever;
};

}  // namespace siracusa
