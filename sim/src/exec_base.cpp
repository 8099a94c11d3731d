// RV32I, M, Zicsr, hardware loops.
#include <bit>

#include "exec.hpp"

namespace siracusa {
namespace {

using u = std::uint32_t;

template <typename F>
u alu(Core &c, const Insn &i, F f) {
    c.x[i.rd] = f(c.x[i.rs1], c.x[i.rs2]);
    return after(c, i);
}

#define ALU(name, expression) \
    u do_##name(Core &c, const Insn &i) { return alu(c, i, []([[maybe_unused]] u a, [[maybe_unused]] u b) -> u { return expression; }); }
ALU(add, a + b)
ALU(sub, a - b)
ALU(sll, a << (b & 31))
ALU(slt, s32(a) < s32(b))
ALU(sltu, a < b)
ALU(xor_, a ^ b)
ALU(srl, a >> (b & 31))
ALU(sra, u32(s32(a) >> (b & 31)))
ALU(or_, a | b)
ALU(and_, a & b)
#undef ALU

template <typename F>
u alu_imm(Core &c, const Insn &i, F f) {
    c.x[i.rd] = f(c.x[i.rs1], u32(i.imm));
    return after(c, i);
}
#define ALU_IMM(name, expression) \
    u do_##name(Core &c, const Insn &i) { return alu_imm(c, i, [](u a, u b) -> u { return expression; }); }
ALU_IMM(addi, a + b)
ALU_IMM(slti, s32(a) < s32(b))
ALU_IMM(sltiu, a < b)
ALU_IMM(xori, a ^ b)
ALU_IMM(ori, a | b)
ALU_IMM(andi, a & b)
ALU_IMM(slli, a << b)
ALU_IMM(srli, a >> b)
ALU_IMM(srai, u32(s32(a) >> b))
#undef ALU_IMM

u do_lui(Core &c, const Insn &i) {
    c.x[i.rd] = u32(i.imm);
    return after(c, i);
}
u do_auipc(Core &c, const Insn &i) {
    c.x[i.rd] = c.pc + u32(i.imm);
    return after(c, i);
}

// On the chip a jump to a 32-bit instruction that is not word aligned fetches twice.
u landed(Core &c, u target) {
    if (c.chip && (target & 2) && c.soc->is_long(c, target)) c.stall++;
    return target;
}
u do_jal(Core &c, const Insn &i) {
    c.x[i.rd] = after(c, i);
    c.stall++, c.n[kJumps]++;
    return landed(c, c.pc + u32(i.imm));
}
u do_jalr(Core &c, const Insn &i) {
    const u target = (c.x[i.rs1] + u32(i.imm)) & ~1u;
    if (c.chip && i.rs1 != 0 && c.just_written == i.rs1) c.stall++, c.n[kJumpStall]++;
    c.x[i.rd] = after(c, i);
    c.stall++, c.n[kJumps]++;
    return landed(c, target);
}

u branch(Core &c, const Insn &i, bool taken) {
    c.n[kBranches]++;
    if (!taken) return after(c, i);
    c.stall += 2, c.n[kTaken]++;
    return landed(c, c.pc + u32(i.imm));
}
#define BRANCH(name, expression)                \
    u do_##name(Core &c, const Insn &i) {       \
        const u a = c.x[i.rs1], b = c.x[i.rs2]; \
        return branch(c, i, expression);        \
    }
BRANCH(beq, a == b)
BRANCH(bne, a != b)
BRANCH(blt, s32(a) < s32(b))
BRANCH(bge, s32(a) >= s32(b))
BRANCH(bltu, a < b)
BRANCH(bgeu, a >= b)
#undef BRANCH
u do_p_beqimm(Core &c, const Insn &i) { return branch(c, i, s32(c.x[i.rs1]) == static_cast<std::int8_t>(i.imm2)); }
u do_p_bneimm(Core &c, const Insn &i) { return branch(c, i, s32(c.x[i.rs1]) != static_cast<std::int8_t>(i.imm2)); }

// mul: two cycles and a late result in the calibrated GVSoC build (which counts the first of its two stalls, not that of
// the user), one cycle on the chip.
u do_mul(Core &c, const Insn &i) {
    c.x[i.rd] = c.x[i.rs1] * c.x[i.rs2];
    if (!c.chip) {
        arrives(c, bit_of(i.rd), 2);
        c.late_counts = 0;
        c.n[kLoadStall]++;
    }
    return after(c, i);
}
u mul_high(Core &c, const Insn &i, std::int64_t product) {
    c.x[i.rd] = static_cast<u>(static_cast<std::uint64_t>(product) >> 32);
    c.stall += 4;
    return after(c, i);
}
std::int64_t wide(u value) { return s32(value); }
u do_mulh(Core &c, const Insn &i) { return mul_high(c, i, wide(c.x[i.rs1]) * wide(c.x[i.rs2])); }
u do_mulhsu(Core &c, const Insn &i) { return mul_high(c, i, wide(c.x[i.rs1]) * static_cast<std::int64_t>(c.x[i.rs2])); }
u do_mulhu(Core &c, const Insn &i) {
    return mul_high(c, i, static_cast<std::int64_t>(std::uint64_t{c.x[i.rs1]} * c.x[i.rs2]));
}

u clz(u value) { return static_cast<u>(std::countl_zero(value)); }
// Cycles by the leading zeros of the divisor.
void division_time(Core &c, u divisor, bool is_signed) {
    if (divisor == 0) c.stall += c.chip ? 34 : (is_signed ? 0 : 34);
    else if (is_signed && s32(divisor) < 0) c.stall += clz(c.chip ? ~divisor : 0u - divisor) + 1;
    else c.stall += clz(divisor) + 2;
}
u do_div(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], b = c.x[i.rs2];
    c.x[i.rd] = b == 0 ? ~0u : (a == 0x80000000u && b == ~0u) ? a : u32(s32(a) / s32(b));
    division_time(c, b, true);
    return after(c, i);
}
u do_divu(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], b = c.x[i.rs2];
    c.x[i.rd] = b == 0 ? ~0u : a / b;
    division_time(c, b, false);
    return after(c, i);
}
u do_rem(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], b = c.x[i.rs2];
    c.x[i.rd] = b == 0 ? a : (a == 0x80000000u && b == ~0u) ? 0 : u32(s32(a) % s32(b));
    division_time(c, b, true);
    return after(c, i);
}
u do_remu(Core &c, const Insn &i) {
    const u a = c.x[i.rs1], b = c.x[i.rs2];
    c.x[i.rd] = b == 0 ? a : a % b;
    division_time(c, b, false);
    return after(c, i);
}

u do_fence(Core &c, const Insn &i) { return after(c, i); }
u do_fence_i(Core &c, const Insn &i) {
    if (c.chip) c.stall++;
    c.line = 1;
    return after(c, i);
}
u do_ecall(Core &c, const Insn &) { throw Fault{c.id, c.pc, c.pc, "ecall, but no handler is modelled"}; }
u do_ebreak(Core &c, const Insn &) { throw Fault{c.id, c.pc, c.pc, "ebreak"}; }
u do_mret(Core &c, const Insn &) { return c.mepc & ~1u; }
u do_wfi(Core &c, const Insn &i) {
    c.soc->wait_for_interrupt(c);
    return after(c, i);
}

// Counters and machine-mode registers take four cycles on the chip.
void csr_time(Core &c, u csr) {
    if (c.chip && ((csr >= 0x780 && csr <= 0x79f) || csr == 0xcc0 || csr == 0xcc1 || (csr >= 0xb00 && csr <= 0xb9f) || (csr >= 0x300 && csr <= 0x344))) c.stall += 3;
}
u csr_op(Core &c, const Insn &i, u operand, u kind, bool writes) {
    const auto csr = u32(i.imm);
    csr_time(c, csr);
    const u old = read_csr(c, csr);
    c.x[i.rd] = old;
    if (writes) write_csr(c, csr, kind == 1 ? operand : kind == 2 ? old | operand : old & ~operand);
    return after(c, i);
}
u do_csrrw(Core &c, const Insn &i) { return csr_op(c, i, c.x[i.rs1], 1, true); }
u do_csrrs(Core &c, const Insn &i) { return csr_op(c, i, c.x[i.rs1], 2, i.rs1 != 0); }
u do_csrrc(Core &c, const Insn &i) { return csr_op(c, i, c.x[i.rs1], 3, i.rs1 != 0); }
u do_csrrwi(Core &c, const Insn &i) { return csr_op(c, i, i.imm2, 1, true); }
u do_csrrsi(Core &c, const Insn &i) { return csr_op(c, i, i.imm2, 2, i.imm2 != 0); }
u do_csrrci(Core &c, const Insn &i) { return csr_op(c, i, i.imm2, 3, i.imm2 != 0); }

// Hardware loops: the end is the address of the last instruction of the body. The loop number is in rs3.
u do_lp_starti(Core &c, const Insn &i) {
    c.loop_start[i.rs3] = c.pc + (u32(i.imm) << 1);
    return after(c, i);
}
u do_lp_endi(Core &c, const Insn &i) {
    c.loop_end[i.rs3] = c.pc + (u32(i.imm) << 1);
    return after(c, i);
}
u do_lp_count(Core &c, const Insn &i) {
    c.loop_count[i.rs3] = c.x[i.rs1];
    return after(c, i);
}
u do_lp_counti(Core &c, const Insn &i) {
    c.loop_count[i.rs3] = u32(i.imm);
    return after(c, i);
}
u loop_setup(Core &c, const Insn &i, u count, u halfwords) {
    c.loop_start[i.rs3] = after(c, i);
    c.loop_end[i.rs3] = c.pc + (halfwords << 1);
    c.loop_count[i.rs3] = count;
    return after(c, i);
}
u do_lp_setup(Core &c, const Insn &i) { return loop_setup(c, i, c.x[i.rs1], u32(i.imm)); }
u do_lp_setupi(Core &c, const Insn &i) { return loop_setup(c, i, u32(i.imm), i.imm2); }

}  // namespace

Execute base_executor(Op op) {
    switch (op) {
#define ROW(name) case Op::name: return do_##name;
        ROW(lui) ROW(auipc) ROW(jal) ROW(jalr) ROW(beq) ROW(bne) ROW(blt) ROW(bge) ROW(bltu) ROW(bgeu) ROW(p_beqimm) ROW(p_bneimm)
        ROW(addi) ROW(slti) ROW(sltiu) ROW(xori) ROW(ori) ROW(andi) ROW(slli) ROW(srli) ROW(srai)
        ROW(add) ROW(sub) ROW(sll) ROW(slt) ROW(sltu) ROW(xor_) ROW(srl) ROW(sra) ROW(or_) ROW(and_)
        ROW(mul) ROW(mulh) ROW(mulhsu) ROW(mulhu) ROW(div) ROW(divu) ROW(rem) ROW(remu)
        ROW(fence) ROW(fence_i) ROW(ecall) ROW(ebreak) ROW(mret) ROW(wfi)
        ROW(csrrw) ROW(csrrs) ROW(csrrc) ROW(csrrwi) ROW(csrrsi) ROW(csrrci)
        ROW(lp_starti) ROW(lp_endi) ROW(lp_count) ROW(lp_counti) ROW(lp_setup) ROW(lp_setupi)
#undef ROW
        default: return nullptr;
    }
}

}  // namespace siracusa
