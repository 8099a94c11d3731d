#include "trace.hpp"

#include <cstring>

#include "disasm.hpp"

namespace siracusa {
namespace {
const char *const kRegisters[32] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
                                    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
}

// The instruction may overwrite itself: its bytes are read before.
void Tracer::before(const Core &core, const Insn &insn) {
    if (!chosen(core)) return;
    word_ = 0;
    const std::uint8_t *at = soc_.memory(core.id != kFabric && core.pc < kL1Size ? core.pc + kL1Base : core.pc, insn.length);
    if (at != nullptr) std::memcpy(&word_, at, insn.length);
}

// cycle, core, pc, symbol, instruction, register written, stalls by kind.
void Tracer::after(const Core &core, const Insn &insn, std::uint32_t stall, std::uint32_t fetch, std::uint32_t hazard) {
    if (!chosen(core)) return;
    char name[8];
    std::snprintf(name, sizeof name, core.id == kFabric ? "fc" : "%d", core.id);
    std::fprintf(file_, "%10llu %2s %08x %-28s %-34s", static_cast<unsigned long long>(core.next), name, core.pc, elf_.describe(core.pc).c_str(),
                 disassemble(word_, core.pc).c_str());
    if (insn.writes != 0) std::fprintf(file_, " %s=%08x", kRegisters[insn.writes], core.x[insn.writes]);
    if (fetch != 0) std::fprintf(file_, " fetch+%u", fetch);
    if (hazard != 0) std::fprintf(file_, " wait+%u", hazard);
    if (stall > fetch + hazard) std::fprintf(file_, " stall+%u", stall - fetch - hazard);
    std::fputc('\n', file_);
}

}  // namespace siracusa
