// From decoded words to executable ones; control and status registers.
#include "core.hpp"

#include "exec.hpp"

namespace siracusa {
namespace {

constexpr std::uint64_t x_bit(std::uint8_t reg) { return reg == 0 ? 0 : std::uint64_t{1} << reg; }
constexpr std::uint64_t f_bit(std::uint8_t reg) { return std::uint64_t{1} << (32 + reg); }

// Registers that the form reads; flw also waits for a late value of its own target, an artefact of the reference.
std::uint64_t reads(const Fields &f) {
    const std::uint64_t rd = x_bit(f.rd), rs1 = x_bit(f.rs1), rs2 = x_bit(f.rs2), rs3 = x_bit(f.rs3);
    switch (f.form) {
        case Form::none: case Form::u: case Form::jal: case Form::csr_imm: case Form::loop_i: case Form::loop_setupi: return 0;
        case Form::r1: case Form::i: case Form::shift: case Form::load: case Form::load_post: case Form::csr: case Form::branch_imm:
        case Form::lane_s: case Form::lane_u: case Form::bits: case Form::clip: case Form::loop_r: case Form::loop_setup: case Form::x_to_f: return rs1;
        case Form::r: case Form::branch: case Form::load_reg: case Form::load_post_reg: case Form::store: case Form::store_post:
        case Form::rd_rs1_rs2_n: case Form::qnt: return rs1 | rs2;
        case Form::store_reg: case Form::store_post_reg: return rs1 | rs2 | rs3;
        case Form::rd_rs1_rs2: case Form::rd_rs1_rs2_rmw_n: return rd | rs1 | rs2;
        case Form::lane_rmw_s: case Form::lane_rmw_u: case Form::bits_rmw: case Form::mlsdot: return rd | rs1;
        case Form::fr: case Form::f_cmp: return f_bit(f.rs1) | f_bit(f.rs2);
        case Form::fr1: case Form::f_to_x: return f_bit(f.rs1);
        case Form::fr4: return f_bit(f.rs1) | f_bit(f.rs2) | f_bit(f.rs3);
        case Form::f_load: return rs1 | f_bit(f.rd);
        case Form::f_store: return rs1 | f_bit(f.rs2);
    }
    return 0;
}

bool writes_integer(Form form) {
    switch (form) {
        case Form::none: case Form::branch: case Form::branch_imm: case Form::store: case Form::store_post: case Form::store_reg:
        case Form::store_post_reg: case Form::loop_i: case Form::loop_r: case Form::loop_setup: case Form::loop_setupi: case Form::fr:
        case Form::fr1: case Form::fr4: case Form::x_to_f: case Form::f_load: case Form::f_store: return false;
        default: return true;
    }
}

bool is_loop(Form form) { return form == Form::loop_i || form == Form::loop_r || form == Form::loop_setup || form == Form::loop_setupi; }

constexpr std::uint32_t kPerfLast = 0x780 + kEvents - 1;

std::uint32_t perf_value(const Core &c, std::uint32_t event) {
    std::uint64_t value = c.counter[event];
    if ((c.pcmr & 1) && (c.pcer >> event & 1)) value += c.n[event] - c.mark[event];
    return static_cast<std::uint32_t>(value);
}
// Folds what was counted so far into the counters and counts on under new masks.
void perf_masks(Core &c, std::uint32_t pcer, std::uint32_t pcmr) {
    for (std::uint32_t event = 0; event < kEvents; event++) {
        c.counter[event] = perf_value(c, event);
        c.mark[event] = c.n[event];
    }
    c.pcer = pcer, c.pcmr = pcmr;
}

}  // namespace

Execute executor(Op op) {
    for (const auto find : {base_executor, memory_executor, scalar_executor, simd_executor, float_executor, nn_executor}) {
        if (const Execute execute = find(op)) return execute;
    }
    return nullptr;
}

Insn prepare(const Fields &f) {
    Insn insn;
    insn.execute = executor(f.op);
    insn.op = f.op, insn.length = f.length, insn.imm = f.imm, insn.imm2 = f.imm2;
    insn.rd = f.rd, insn.rs1 = f.rs1, insn.rs2 = f.rs2, insn.rs3 = f.rs3;
    insn.uses = reads(f);
    if (is_loop(f.form)) {
        insn.rs3 = f.rd, insn.rd = 32;
    } else if (writes_integer(f.form)) {
        insn.writes = f.rd;
        if (f.rd == 0) insn.rd = 32;
    }
    return insn;
}

std::uint32_t read_csr(Core &c, std::uint32_t csr) {
    if (csr >= 0x780 && csr <= kPerfLast) return perf_value(c, csr - 0x780);
    switch (csr) {
        case 0x001: return c.fcsr & 31;
        case 0x002: return c.fcsr >> 5 & 7;
        case 0x003: return c.fcsr & 255;
        case 0x014: case 0xf14: return c.hart();
        case 0x300: return c.mstatus;
        case 0x305: return c.mtvec;
        case 0x340: return c.mscratch;
        case 0x341: return c.mepc;
        case 0x342: return c.mcause;
        case 0x7b0: case 0x7b4: case 0x7c0: case 0x7c4: return c.loop_start[csr >> 2 & 1];
        case 0x7b1: case 0x7b5: case 0x7c1: case 0x7c5: return c.loop_end[csr >> 2 & 1];
        case 0x7b2: case 0x7b6: case 0x7c2: case 0x7c6: return c.loop_count[csr >> 2 & 1];
        case 0xb00: case 0xc00: return static_cast<std::uint32_t>(c.n[kCycles]);
        case 0xb80: case 0xc80: return static_cast<std::uint32_t>(c.n[kCycles] >> 32);
        case 0xb02: case 0xc02: return static_cast<std::uint32_t>(c.n[kInstructions]);
        case 0xb82: case 0xc82: return static_cast<std::uint32_t>(c.n[kInstructions] >> 32);
        case 0xc10: return 3;
        case 0xcc0: return c.pcer;
        case 0xcc1: return c.pcmr;
        default:
            if (csr >= 0x780 && csr <= 0x79f) return 0;
            c.soc->unknown_csr(c, csr);
            return 0;
    }
}

void write_csr(Core &c, std::uint32_t csr, std::uint32_t value) {
    if (csr >= 0x780 && csr <= kPerfLast) {
        c.counter[csr - 0x780] = value, c.mark[csr - 0x780] = c.n[csr - 0x780];
        return;
    }
    switch (csr) {
        case 0x001: c.fcsr = (c.fcsr & 0xe0) | (value & 31); break;
        case 0x002: c.fcsr = (c.fcsr & 31) | (value & 7) << 5; break;
        case 0x003: c.fcsr = value & 255; break;
        case 0x300: c.mstatus = (value & 0x88) | 0x1800; break;
        case 0x305: c.mtvec = value & ~255u; break;
        case 0x340: c.mscratch = value; break;
        case 0x341: c.mepc = value; break;
        case 0x342: c.mcause = value; break;
        case 0x79f:
            c.counter.fill(value);
            c.mark = c.n;
            break;
        case 0x7b0: case 0x7b4: case 0x7c0: case 0x7c4: c.loop_start[csr >> 2 & 1] = value; break;
        case 0x7b1: case 0x7b5: case 0x7c1: case 0x7c5: c.loop_end[csr >> 2 & 1] = value; break;
        case 0x7b2: case 0x7b6: case 0x7c2: case 0x7c6: c.loop_count[csr >> 2 & 1] = value; break;
        case 0xcc0: perf_masks(c, value, c.pcmr); break;
        case 0xcc1: perf_masks(c, c.pcer, value); break;
        case 0xf14: break;
        default:
            if (csr < 0x780 || csr > 0x79f) c.soc->unknown_csr(c, csr);
            break;
    }
}

}  // namespace siracusa
