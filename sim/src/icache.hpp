// Instruction caches: one private first level per core, a shared second level of two banks, one cache of the fabric controller.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "types.hpp"

namespace siracusa {

// A cache of 16-byte lines, four ways, pseudo-random replacement: an 8-bit feedback register steps on every refill and
// names the victim, invalid ways are not preferred. Only tags and times are kept, the bytes come from memory.
class LineCache {
  public:
    explicit LineCache(std::uint32_t sets) : tags_(sets * kWays, kInvalid), ready_(sets * kWays, 0), mask_(sets - 1) {}

    // Cycles until line number `line` (address / 16, without the bits that chose this cache) is there. On a miss the
    // next level is asked through next_level(), which returns its latency.
    template <typename NextLevel>
    std::uint32_t access(std::uint32_t line, std::uint32_t refill_latency, Cycle now, NextLevel next_level) {
        const std::uint32_t first = (line & mask_) * kWays;
        for (std::uint32_t slot = first; slot < first + kWays; slot++) {
            if (tags_[slot] == line) return ready_[slot] > now ? static_cast<std::uint32_t>(ready_[slot] - now) : 0;
        }
        const std::uint32_t slot = first + victim();
        std::uint32_t latency = busy_until_ > now ? static_cast<std::uint32_t>(busy_until_ - now) : 0;   // one refill at a time
        latency += next_level() + refill_latency;
        busy_until_ = ready_[slot] = now + latency;
        tags_[slot] = line;
        misses_++;
        return latency;
    }
    void flush() { tags_.assign(tags_.size(), kInvalid); }
    std::uint64_t misses() const { return misses_; }

  private:
    static constexpr std::uint32_t kWays = 4, kInvalid = ~0u;

    std::uint32_t victim() {
        const std::uint32_t v = lfsr_, feedback = ~(v >> 7 ^ v >> 3 ^ v >> 2 ^ v >> 1) & 1;
        lfsr_ = (v << 1 | feedback) & 255;
        return lfsr_ >> 1 & 3;
    }

    std::vector<std::uint32_t> tags_;
    std::vector<Cycle> ready_;
    std::uint32_t mask_, lfsr_ = 0;
    Cycle busy_until_ = 0;
    std::uint64_t misses_ = 0;
};

// The cluster's two levels.
class ClusterCache {
  public:
    bool enabled = false;

    // Latency of fetching the line at `address` for `core`; `path` is what the memory behind the caches takes.
    template <typename Memory>
    std::uint32_t fetch(int core, std::uint32_t address, Cycle now, Memory memory) {
        if (!enabled) return memory();
        const std::uint32_t line = address >> 4;
        return private_[static_cast<std::size_t>(core)].access(line, kRefill, now, [&] {
            return shared_[line & 1].access(line >> 1, kRefill, now, [&] { return memory() + kLineTransfer; });
        });
    }
    void flush() {
        for (auto &cache : private_) cache.flush();
        for (auto &cache : shared_) cache.flush();
    }
    std::uint64_t shared_misses() const { return shared_[0].misses() + shared_[1].misses(); }

    static constexpr std::uint32_t kRefill = 2, kLineTransfer = 1;

  private:
    std::array<LineCache, kClusterCores> private_{LineCache(8), LineCache(8), LineCache(8), LineCache(8), LineCache(8),
                                                  LineCache(8), LineCache(8), LineCache(8), LineCache(32)};
    std::array<LineCache, 2> shared_{LineCache(32), LineCache(32)};
};

// The fabric controller's single level.
class FabricCache {
  public:
    bool enabled = false;
    template <typename Memory>
    std::uint32_t fetch(std::uint32_t address, Cycle now, Memory memory) {
        if (!enabled) return memory();
        return cache_.access(address >> 4, 0, now, [&] { return memory() + ClusterCache::kLineTransfer; });
    }
    void flush() { cache_.flush(); }

  private:
    LineCache cache_{32};
};

}  // namespace siracusa
