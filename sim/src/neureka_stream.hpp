// N-EUREKA's port to L1: one vector of up to 36 bytes per access, over the shared banks, and the address generator.
#pragma once
#include <cstdint>
#include <cstring>

#include "neureka_job.hpp"
#include "types.hpp"

namespace siracusa::neureka {

// Three nested strides; next() gives the address of the current element and goes on to the following one.
class AddressGenerator {
  public:
    AddressGenerator() = default;
    // `base` + i0 * d0 + i1 * d1 + i2 * d2, with i0 < n0 fastest, then i1 < n1.
    AddressGenerator(std::uint32_t base, Strides stride, int n0, int n1) : base_(base), stride_(stride), n0_(n0), n1_(n1) {}
    std::uint32_t next() {
        const std::uint32_t address = base_ + a0_ + a1_ + a2_;
        a0_ += static_cast<std::uint32_t>(stride_.d0);
        if (++i0_ >= n0_) {
            i0_ = 0, a0_ = 0, a1_ += static_cast<std::uint32_t>(stride_.d1);
            if (++i1_ >= n1_) i1_ = 0, a1_ = 0, a2_ += static_cast<std::uint32_t>(stride_.d2);
        }
        return address;
    }

  private:
    std::uint32_t base_ = 0, a0_ = 0, a1_ = 0, a2_ = 0;
    Strides stride_{};
    int n0_ = 1, n1_ = 1, i0_ = 0, i1_ = 0;
};

// Reads and writes cost 1 cycle plus the wait of the slowest word. Addresses are cut to 18 bits.
class Port {
  public:
    static constexpr std::uint32_t kMask = kL1Size - 1;
    explicit Port(NpuHost &host) : host_(host), tcdm_(host.tcdm()) {}

    // The engine reads whole words from the aligned address on, 4 bytes more than it needs; a last word that is read in part
    // takes its bank but never delays (as in GVSoC).
    std::uint32_t read(std::uint32_t address, int width, std::uint8_t *data, Cycle now) {
        const std::uint32_t start = address & kMask & ~3u, fetched = static_cast<std::uint32_t>(width) + 4;
        const std::uint32_t wait = tcdm_.access(start, fetched & ~3u, now);
        if (fetched & 3) tcdm_.access((start + (fetched & ~3u)) & kMask, fetched & 3, now);
        copy_out(address & kMask, static_cast<std::uint32_t>(width), data);
        return wait + 1;
    }

    // Bytes before and after the aligned words are requests of their own, which never delay (as in GVSoC).
    std::uint32_t write(std::uint32_t address, int width, const std::uint8_t *data, Cycle now) {
        const auto bytes = static_cast<std::uint32_t>(width);
        std::uint32_t head = bytes, words = 0, tail = 0, wait = 0;
        if (bytes >= 4) {
            head = (0u - address) & 3;
            words = (bytes - head) / 4;
            tail = (bytes - head) & 3;
        }
        for (std::uint32_t i = 0; i < head; i++) tcdm_.access((address + i) & kMask, 1, now);
        if (words) wait = tcdm_.access((address + head) & kMask, words * 4, now);
        for (std::uint32_t i = 0; i < tail; i++) tcdm_.access((address + head + words * 4 + i) & kMask, 1, now);
        copy_in(address & kMask, bytes, data);
        return wait + 1;
    }

  private:
    void copy_out(std::uint32_t offset, std::uint32_t bytes, std::uint8_t *data) const {
        const std::uint32_t until_end = kL1Size - offset, first = bytes < until_end ? bytes : until_end;
        std::memcpy(data, tcdm_.bytes() + offset, first);
        std::memcpy(data + first, tcdm_.bytes(), bytes - first);
    }
    void copy_in(std::uint32_t offset, std::uint32_t bytes, const std::uint8_t *data) {
        const std::uint32_t until_end = kL1Size - offset, first = bytes < until_end ? bytes : until_end;
        std::memcpy(tcdm_.bytes() + offset, data, first);
        host_.l1_written(offset, first);
        if (first == bytes) return;
        std::memcpy(tcdm_.bytes(), data + first, bytes - first);
        host_.l1_written(0, bytes - first);
    }

    NpuHost &host_;
    Tcdm &tcdm_;
};

}  // namespace siracusa::neureka
