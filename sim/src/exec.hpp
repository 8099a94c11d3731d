// What the files that define instructions share: register access, memory access with its time, registration.
#pragma once
#include <cstring>

#include "core.hpp"
#include "soc.hpp"

namespace siracusa {

inline std::uint32_t after(const Core &c, const Insn &i) { return c.pc + i.length; }
inline std::int32_t s32(std::uint32_t value) { return static_cast<std::int32_t>(value); }
inline std::uint32_t u32(std::int32_t value) { return static_cast<std::uint32_t>(value); }

// The result of an access of `latency` cycles: blocks for latency - 1, a user in the next instruction waits one more.
inline void arrives(Core &c, std::uint64_t reg_bit, std::uint32_t latency) {
    c.late = reg_bit, c.late_counts = 1;
    c.late_at = c.next + c.stall + latency + 1;
    c.stall += latency - 1;
}

// True for an address in L1 or in its alias at 0 whose `Size` bytes lie in one word.
template <unsigned Size>
inline bool plain_l1(const Core &c, std::uint32_t address) {
    return c.tcdm != nullptr && (address & 0xeffc0000u) == 0 && (Size == 1 || (address & 3) + Size <= 4);
}

template <unsigned Size>
inline std::uint32_t load(Core &c, std::uint32_t address, std::uint64_t reg_bit) {
    c.n[kLoads]++;
    if (plain_l1<Size>(c, address)) [[likely]] {
        const std::uint32_t offset = address & (kL1Size - 1);
        arrives(c, reg_bit, 1 + c.tcdm->access_word(offset, c.next));
        std::uint32_t value = 0;
        std::memcpy(&value, c.l1 + offset, Size);
        return value;
    }
    return c.soc->load(c, address, Size, reg_bit);
}

template <unsigned Size>
inline void store(Core &c, std::uint32_t address, std::uint32_t value) {
    c.n[kStores]++;
    if (plain_l1<Size>(c, address)) [[likely]] {
        const std::uint32_t offset = address & (kL1Size - 1);
        c.stall += c.tcdm->access_word(offset, c.next);
        std::memcpy(c.l1 + offset, &value, Size);
        c.soc->l1_stored(offset);
        return;
    }
    c.soc->store(c, address, Size, value);
}

inline std::uint64_t bit_of(std::uint8_t reg) { return std::uint64_t{1} << (reg & 31) & ~std::uint64_t{reg == 32}; }
inline std::uint64_t float_bit(std::uint8_t reg) { return std::uint64_t{1} << (32 + reg); }

// Each file hands out the executors of its instructions, nullptr for others.
Execute base_executor(Op op);
Execute memory_executor(Op op);
Execute scalar_executor(Op op);
Execute simd_executor(Op op);
Execute float_executor(Op op);
Execute nn_executor(Op op);

}  // namespace siracusa
