// Decoded instructions by memory page, thrown away where the bytes change.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core.hpp"
#include "types.hpp"

namespace siracusa {

class CodeCache {
  public:
    static constexpr std::uint32_t kPage = 4096, kSlots = kPage / 2;

    // The slots of the page that holds `address` (L1, L2 or weight memory), nullptr elsewhere.
    Insn *page(std::uint32_t address) {
        const std::uint32_t number = page_number(address);
        if (number == kNoPage) return nullptr;
        if (!pages_[number]) pages_[number] = std::make_unique<Insn[]>(kSlots);
        return pages_[number].get();
    }
    bool l1_has_code(std::uint32_t offset) const { return pages_[offset >> 12] != nullptr; }

    // Bytes changed: forget what was decoded from them, an instruction that begins two bytes earlier included.
    void changed(std::uint32_t address, std::uint32_t bytes) {
        if (bytes == 0) return;
        const std::uint32_t first = (address - 2) & ~1u, last = address + bytes - 1;
        for (std::uint32_t at = first; at - first <= last - first; at = (at | (kPage - 1)) + 1) {
            const std::uint32_t number = page_number(at);
            if (number == kNoPage || !pages_[number]) continue;
            const std::uint32_t end = (at | (kPage - 1)) - first < last - first ? at | (kPage - 1) : last;
            for (std::uint32_t slot = (at & (kPage - 1)) >> 1; slot <= (end & (kPage - 1)) >> 1; slot++) pages_[number][slot].execute = nullptr;
        }
    }

  private:
    static constexpr std::uint32_t kNoPage = ~0u, kL1Pages = kL1Size / kPage, kL2Pages = kL2Size / kPage, kWmemPages = kWmemSize / kPage;
    static std::uint32_t page_number(std::uint32_t address) {
        if (address - kL1Base < kL1Size) return (address - kL1Base) / kPage;
        if (address - kL2Base < kL2Size) return kL1Pages + (address - kL2Base) / kPage;
        if (address - kWmemBase < kWmemSize) return kL1Pages + kL2Pages + (address - kWmemBase) / kPage;
        return kNoPage;
    }
    std::vector<std::unique_ptr<Insn[]>> pages_{kL1Pages + kL2Pages + kWmemPages};
};

}  // namespace siracusa
