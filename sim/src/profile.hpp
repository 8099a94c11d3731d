// Where the cycles go: per symbol, with stalls by cause and the mix of instructions.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>

#include "elf.hpp"
#include "soc.hpp"

namespace siracusa {

class Profiler final : public Observer {
  public:
    explicit Profiler(const Elf &elf) : elf_(elf) {}
    void after(const Core &core, const Insn &insn, std::uint32_t stall, std::uint32_t fetch, std::uint32_t hazard) override;
    void slept(const Core &core, Cycle begin, Cycle end) override;

    std::string text() const;
    std::string json() const;

  private:
    enum Kind : std::size_t { kAlu, kMultiply, kSimd, kDot, kLoad, kStore, kBranch, kJump, kFloat, kSystem, kKinds };
    struct Entry {
        std::uint64_t cycles = 0, instructions = 0, fetch = 0, hazard = 0, memory = 0, branch = 0, arithmetic = 0, asleep = 0;
        std::array<std::uint64_t, kKinds> mix{};
    };
    static Kind kind(Op op);
    Entry &entry(const Core &core);

    const Elf &elf_;
    std::unordered_map<std::uint32_t, Entry *> by_pc_;      // the entry of each pc seen
    std::map<std::string, Entry> entries_;
};

}  // namespace siracusa
