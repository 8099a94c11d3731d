// The two clocks: SoC and fabric controller at 50 MHz, the cluster at 2198 x 32,768 Hz = 72.02 MHz, as they are after reset.
#pragma once
#include "types.hpp"

namespace siracusa {

inline constexpr Cycle kSocPeriod = 20000, kClusterPeriod = 13884;       // picoseconds
inline constexpr Cycle kClusterPhase = 10000;        // when cluster cycle 0 begins: not known, half a SoC cycle assumed

// The SoC cycle that a cluster cycle begins in, and the first cluster cycle that begins at or after a SoC cycle's begin.
inline Cycle soc_cycle(Cycle cluster) { return (cluster * kClusterPeriod + kClusterPhase) / kSocPeriod; }
inline Cycle cluster_cycle(Cycle soc) {
    const Cycle time = soc * kSocPeriod;
    return time <= kClusterPhase ? 0 : (time - kClusterPhase + kClusterPeriod - 1) / kClusterPeriod;
}

}  // namespace siracusa
