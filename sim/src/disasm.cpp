#include "disasm.hpp"

#include <cstdio>

#include "isa.hpp"

namespace siracusa {

namespace {

constexpr const char *kX[32] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                "a6",   "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr const char *kF[32] = {"ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0",  "fa1",  "fa2", "fa3", "fa4",  "fa5",
                                "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

template <typename... Arguments>
std::string format(const char *pattern, Arguments... arguments) {
    char text[96];
    std::snprintf(text, sizeof text, pattern, arguments...);
    return text;
}

std::string csr_name(std::uint32_t csr) {
    struct Name { std::uint32_t csr; const char *name; };
    static constexpr Name kNames[] = {{0x001, "fflags"}, {0x002, "frm"}, {0x003, "fcsr"}, {0x300, "mstatus"}, {0x301, "misa"},
        {0x304, "mie"}, {0x305, "mtvec"}, {0x340, "mscratch"}, {0x341, "mepc"}, {0x342, "mcause"}, {0x343, "mtval"}, {0x344, "mip"},
        {0xb00, "mcycle"}, {0xb02, "minstret"}, {0xb80, "mcycleh"}, {0xb82, "minstreth"}, {0xcc0, "pcer"}, {0xcc1, "pcmr"},
        {0xf11, "mvendorid"}, {0xf12, "marchid"}, {0xf13, "mimpid"}, {0xf14, "mhartid"}};
    for (const Name &name : kNames)
        if (name.csr == csr) return name.name;
    if (csr >= 0x780 && csr < 0x780 + 0x1f) return format("pccr%u", csr - 0x780);
    return format("0x%x", csr);
}

// The common short forms, as other disassemblers print them; empty when the instruction has none.
std::string short_form(const Fields &f, std::uint32_t pc) {
    const std::uint32_t target = pc + static_cast<std::uint32_t>(f.imm);
    switch (f.op) {
        case Op::addi:
            if (f.rd == 0 && f.rs1 == 0 && f.imm == 0) return "nop";
            if (f.rs1 == 0) return format("li %s, %d", kX[f.rd], f.imm);
            return f.imm == 0 ? format("mv %s, %s", kX[f.rd], kX[f.rs1]) : "";
        case Op::add: return f.rs1 == 0 ? format("mv %s, %s", kX[f.rd], kX[f.rs2]) : "";
        case Op::jal: return f.rd == 0 ? format("j 0x%x", target) : f.rd == 1 ? format("jal 0x%x", target) : "";
        case Op::jalr:
            if (f.imm != 0) return "";
            if (f.rd == 0) return f.rs1 == 1 ? "ret" : format("jr %s", kX[f.rs1]);
            return f.rd == 1 ? format("jalr %s", kX[f.rs1]) : "";
        case Op::beq: return f.rs2 == 0 ? format("beqz %s, 0x%x", kX[f.rs1], target) : "";
        case Op::bne: return f.rs2 == 0 ? format("bnez %s, 0x%x", kX[f.rs1], target) : "";
        case Op::csrrs: return f.rs1 == 0 ? format("csrr %s, %s", kX[f.rd], csr_name(static_cast<std::uint32_t>(f.imm)).c_str()) : "";
        case Op::csrrw: return f.rd == 0 ? format("csrw %s, %s", csr_name(static_cast<std::uint32_t>(f.imm)).c_str(), kX[f.rs1]) : "";
        default: return "";
    }
}

std::string operands(const Fields &f, std::uint32_t pc) {
    const char *rd = kX[f.rd], *rs1 = kX[f.rs1], *rs2 = kX[f.rs2], *rs3 = kX[f.rs3];
    const std::uint32_t target = pc + static_cast<std::uint32_t>(f.imm), end = pc + 2 * static_cast<std::uint32_t>(f.imm);
    switch (f.form) {
        case Form::none: return "";
        case Form::r: case Form::rd_rs1_rs2: return format("%s, %s, %s", rd, rs1, rs2);
        case Form::r1: return format("%s, %s", rd, rs1);
        case Form::i: case Form::shift: case Form::clip:
        case Form::lane_s: case Form::lane_u: case Form::lane_rmw_s: case Form::lane_rmw_u: return format("%s, %s, %d", rd, rs1, f.imm);
        case Form::u: return format("%s, 0x%x", rd, static_cast<std::uint32_t>(f.imm) >> 12);
        case Form::jal: return format("%s, 0x%x", rd, target);
        case Form::branch: return format("%s, %s, 0x%x", rs1, rs2, target);
        case Form::branch_imm: return format("%s, %d, 0x%x", rs1, static_cast<std::int8_t>(f.imm2), target);
        case Form::load: return format("%s, %d(%s)", rd, f.imm, rs1);
        case Form::load_post: return format("%s, %d(%s!)", rd, f.imm, rs1);
        case Form::load_reg: return format("%s, %s(%s)", rd, rs2, rs1);
        case Form::load_post_reg: return format("%s, %s(%s!)", rd, rs2, rs1);
        case Form::store: return format("%s, %d(%s)", rs2, f.imm, rs1);
        case Form::store_post: return format("%s, %d(%s!)", rs2, f.imm, rs1);
        case Form::store_reg: return format("%s, %s(%s)", rs2, rs3, rs1);
        case Form::store_post_reg: return format("%s, %s(%s!)", rs2, rs3, rs1);
        case Form::csr: return format("%s, %s, %s", rd, csr_name(static_cast<std::uint32_t>(f.imm)).c_str(), rs1);
        case Form::csr_imm: return format("%s, %s, %u", rd, csr_name(static_cast<std::uint32_t>(f.imm)).c_str(), unsigned{f.imm2});
        case Form::rd_rs1_rs2_n: case Form::rd_rs1_rs2_rmw_n: return format("%s, %s, %s, %u", rd, rs1, rs2, unsigned{f.imm2});
        case Form::bits: case Form::bits_rmw: return format("%s, %s, %d, %u", rd, rs1, f.imm, unsigned{f.imm2});
        case Form::loop_i:
            return f.op == Op::lp_counti ? format("x%u, %d", unsigned{f.rd}, f.imm) : format("x%u, 0x%x", unsigned{f.rd}, end);
        case Form::loop_r: return format("x%u, %s", unsigned{f.rd}, rs1);
        case Form::loop_setup: return format("x%u, %s, 0x%x", unsigned{f.rd}, rs1, end);
        case Form::loop_setupi: return format("x%u, %d, 0x%x", unsigned{f.rd}, f.imm, pc + 2u * f.imm2);
        case Form::fr: return format("%s, %s, %s", kF[f.rd], kF[f.rs1], kF[f.rs2]);
        case Form::fr1: return format("%s, %s", kF[f.rd], kF[f.rs1]);
        case Form::fr4: return format("%s, %s, %s, %s", kF[f.rd], kF[f.rs1], kF[f.rs2], kF[f.rs3]);
        case Form::f_to_x: return format("%s, %s", rd, kF[f.rs1]);
        case Form::x_to_f: return format("%s, %s", kF[f.rd], rs1);
        case Form::f_cmp: return format("%s, %s, %s", rd, kF[f.rs1], kF[f.rs2]);
        case Form::f_load: return format("%s, %d(%s)", kF[f.rd], f.imm, rs1);
        case Form::f_store: return format("%s, %d(%s)", kF[f.rs2], f.imm, rs1);
        case Form::qnt: return format("%s, %s, (%s)", rd, rs1, rs2);
        case Form::mlsdot: return format("%s, %s, %u", rd, rs1, unsigned{f.imm2});
    }
    return "";
}

}  // namespace

std::string disassemble(std::uint32_t insn, std::uint32_t pc) {
    const Fields f = decode(insn, true);
    if (f.op == Op::illegal) return (insn & 3) == 3 ? format(".word 0x%08x", insn) : format(".half 0x%04x", insn & 0xffff);
    const std::string brief = short_form(f, pc);
    if (!brief.empty()) return brief;
    const std::string rest = operands(f, pc);
    const std::string mnemonic = info(f.op).mnemonic;
    return rest.empty() ? mnemonic : mnemonic + " " + rest;
}

}  // namespace siracusa
