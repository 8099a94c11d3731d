// Common types of the simulator: time, memories as plain bytes, the TCDM banks, and what parts tell each other.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace siracusa {

using Cycle = std::uint64_t;                    // cycles of the cluster clock unless said otherwise
inline constexpr Cycle kNever = ~Cycle{0};

enum class Timing { gvsoc, chip };              // gvsoc: the calibrated GVSoC build, artefacts included; chip: RTL-checked figures

inline constexpr int kWorkers = 8;              // cluster cores that compute
inline constexpr int kClusterCores = 9;         // the workers and the controller core (number 8)
inline constexpr int kCores = 10;               // all of the above and the fabric controller
inline constexpr int kFabric = 9;               // index of the fabric controller

inline constexpr std::uint32_t kL1Base = 0x10000000, kL1Size = 0x40000;
inline constexpr std::uint32_t kL2Base = 0x1c000000, kL2Size = 0x200000;
inline constexpr std::uint32_t kWmemBase = 0x10400000, kWmemSize = 0x800000;

// Event numbers of the event unit that the engines raise.
inline constexpr int kEventDma = 8, kEventNpu = 12, kEventBarrier = 16, kEventMutex = 17, kEventDispatch = 18;

// What a memory tells when bytes changed under it, so that decoded code is thrown away.
class CodeWatch {
  public:
    virtual ~CodeWatch() = default;
    virtual void changed(std::uint32_t address, std::uint32_t bytes) = 0;
};

// L1: 16 word-interleaved banks of one word per cycle, first come first served.
class Tcdm {
  public:
    static constexpr int kBanks = 16;
    explicit Tcdm(std::uint8_t *bytes) : bytes_(bytes) {}

    std::uint8_t *bytes() { return bytes_; }

    // Reserve every bank that [offset, offset+size) touches, word by word, at `now`; the wait of the slowest word in cycles.
    // Offsets wrap at the size of L1.
    std::uint32_t access(std::uint32_t offset, std::uint32_t size, Cycle now) {
        std::uint32_t wait = 0;
        const std::uint32_t last = (offset + size - 1) >> 2;
        for (std::uint32_t word = offset >> 2; word <= last; word++) {
            Cycle &free = next_free_[word & (kBanks - 1)];
            const Cycle start = free > now ? free : now;
            free = start + 1;
            const auto delay = static_cast<std::uint32_t>(start - now);
            wait = delay > wait ? delay : wait;
        }
        accesses_ += last - (offset >> 2) + 1;
        conflicts_ += wait;
        return wait;
    }
    // The same for bytes within one word.
    std::uint32_t access_word(std::uint32_t offset, Cycle now) {
        Cycle &free = next_free_[offset >> 2 & (kBanks - 1)];
        accesses_++;
        if (free <= now) {
            free = now + 1;
            return 0;
        }
        const auto wait = static_cast<std::uint32_t>(free - now);
        free++;
        conflicts_ += wait;
        return wait;
    }
    std::uint64_t accesses() const { return accesses_; }
    std::uint64_t conflict_cycles() const { return conflicts_; }

  private:
    std::uint8_t *bytes_;
    std::array<Cycle, kBanks> next_free_{};
    std::uint64_t accesses_ = 0, conflicts_ = 0;
};

// What N-EUREKA needs from its surroundings. Implemented by the SoC (and by tests).
class NpuHost {
  public:
    virtual ~NpuHost() = default;
    virtual Tcdm &tcdm() = 0;
    virtual const std::uint8_t *weight_memory() = 0;                 // kWmemSize bytes
    virtual void l1_written(std::uint32_t offset, std::uint32_t bytes) = 0;   // after each change of L1 bytes
    virtual void npu_event(Cycle now) = 0;                           // raise event 12 at all cores
    virtual void warn(const std::string &what) = 0;                  // outside the legal jobs; --strict turns it into a fault
    virtual void job_span(Cycle asked, Cycle begin, Cycle end, const std::string &what) = 0;  // for the timeline
};

// What the run did, for the energy model and the reports.
struct Activity {
    Cycle cycles = 0;                                    // cluster cycles of the whole run
    std::array<Cycle, kCores> awake{}, asleep{};         // per core; the fabric controller in its own cycles
    std::array<std::uint64_t, kCores> instructions{};
    std::uint64_t dma_bytes = 0;                         // L2 or weight memory <-> L1
    Cycle npu_busy = 0;
    double npu_macs = 0;                                 // 8-bit MACs on real pixels and channels: macs * weight bits / 8
    std::uint64_t npu_macs_raw = 0;                      // the same, not scaled by the weight bits
    std::uint64_t weight_words = 0;                      // 256-bit words that N-EUREKA read from weight memory
    std::uint64_t external_bytes = 0;
};

}  // namespace siracusa
