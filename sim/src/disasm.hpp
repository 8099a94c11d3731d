// Disassembly of one instruction: RV32IMFC, Zicsr, XpulpV2, XpulpNN.
#pragma once
#include <cstdint>
#include <string>

namespace siracusa {

// `insn`: 32 bits at pc (only the low 16 count for a compressed one). Unknown words give ".word 0x...".
std::string disassemble(std::uint32_t insn, std::uint32_t pc);

}  // namespace siracusa
