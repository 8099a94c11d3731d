// The instruction trace: one line per instruction, with symbol and disassembly.
#pragma once
#include <cstdio>

#include "elf.hpp"
#include "soc.hpp"

namespace siracusa {

struct TraceChoice {
    std::uint32_t cores = ~0u;                        // bit per core, kFabric included
    std::uint32_t first = 0, last = ~0u;              // addresses
};

class Tracer final : public Observer {
  public:
    Tracer(std::FILE *file, const Elf &elf, Soc &soc, const TraceChoice &choice) : file_(file), elf_(elf), soc_(soc), choice_(choice) {}
    void before(const Core &core, const Insn &insn) override;
    void after(const Core &core, const Insn &insn, std::uint32_t stall, std::uint32_t fetch, std::uint32_t hazard) override;

  private:
    bool chosen(const Core &core) const { return (choice_.cores >> core.id & 1) && core.pc - choice_.first <= choice_.last - choice_.first; }

    std::FILE *file_;
    const Elf &elf_;
    Soc &soc_;
    TraceChoice choice_;
    std::uint32_t word_ = 0;
};

}  // namespace siracusa
